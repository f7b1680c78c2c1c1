//go:build hurd

// Command crash ends in the way that its argument says. The comment at each
// way tells what must come of it, to be checked from the outside. Without an
// argument it lists them.
package main
