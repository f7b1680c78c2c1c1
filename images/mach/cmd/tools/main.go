// Tools is the shell and the small commands of a node (packages
// hurdlab/images/mach/sh and tools), all in one program: it is the one whose
// name it was called by, or that its first argument names if it was called
// tools.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hurdlab/images/mach/sh"
	"hurdlab/images/mach/tools"
)

func main() {
	args := os.Args
	if len(args) > 0 && filepath.Base(args[0]) == "tools" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Println(strings.Join(tools.Names(), "\n"))
		return
	}
	if filepath.Base(args[0]) == "sh" {
		os.Args = args
		sh.Main()
	}
	os.Exit(tools.Run(context.Background(), filepath.Base(args[0]), tools.Call{
		Args: args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}
