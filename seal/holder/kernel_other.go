//go:build !linux

package holder

import "errors"

// Kernel returns an error: only Linux has a keyring in the kernel.
func Kernel() (Holder, error) { return nil, errors.New("this kernel has no keyring") }
