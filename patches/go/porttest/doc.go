// Package porttest tests the Go port where it runs: on GNU Mach. What it
// tests is what Go's own tests do not look at, because other systems do it
// for the runtime or differently: memory that is given back, threads that
// leave nothing behind, exceptions, the clock, messages.
//
// The tests run in a node ("hurdlab go test hurdlab/patches/go/porttest");
// on other systems there is nothing to run. The program crash, below this
// package, ends in all the ways in which a program can end.
package porttest
