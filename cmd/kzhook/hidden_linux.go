package main

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TCGETS
	setTermiosFlush = unix.TCSETSF

	maxLine = 4095 // bytes; what a line has beyond that is dropped
)
