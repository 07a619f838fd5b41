//go:build !linux

package roottest

import "testing"

// As skips the test: only Linux lets one thread have another user.
func As(t *testing.T, _ int, _ func()) { t.Skip("needs Linux") }

// AsGroup skips the test.
func AsGroup(t *testing.T, _, _ int, _ func()) { t.Skip("needs Linux") }

// Tmpfs skips the test.
func Tmpfs(t *testing.T, _, _ string, _ func()) { t.Skip("needs Linux") }

// Casefold skips the test.
func Casefold(t *testing.T, _ string, _ func(dir string)) { t.Skip("needs Linux") }

// ReadOnly skips the test.
func ReadOnly(t *testing.T, _ string, _ func()) { t.Skip("needs Linux") }

// WithoutProc skips the test.
func WithoutProc(t *testing.T, _ func()) { t.Skip("needs Linux") }
