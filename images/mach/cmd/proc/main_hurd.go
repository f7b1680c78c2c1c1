// Command proc is the process server (package proc). The startup server starts
// it, with its own port as the bootstrap port.
package main

import "hurdlab/images/mach/proc"

func main() { proc.Main() }
