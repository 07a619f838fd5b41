//go:build !linux

package main

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TIOCGETA
	setTermiosFlush = unix.TIOCSETAF

	maxLine = 1024 // bytes; what a line has beyond that is dropped
)
