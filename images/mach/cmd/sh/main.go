// Sh is the shell of a node (package hurdlab/images/mach/sh).
package main

import "hurdlab/images/mach/sh"

func main() { sh.Main() }
