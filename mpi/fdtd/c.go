package fdtd

import _ "embed"

// C is the same solver as a program in C for an MPI of a distribution: the same bits.
//
//go:embed testdata/fdtd.c
var C string
