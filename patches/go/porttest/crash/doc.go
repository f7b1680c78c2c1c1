//go:build hurd

// Command crash ends in the way that its argument says. The table Endings of
// package porttest tells what must come of each. Without an argument it lists
// them.
package main
