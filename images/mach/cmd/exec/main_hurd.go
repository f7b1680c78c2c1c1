// Command exec is the exec server (package exec). It is a boot module that the
// root file system starts and that answers to it, as a translator:
//
//	exec $(exec-task=task-create)
package main

import "hurdlab/images/mach/exec"

func main() { exec.Main() }
