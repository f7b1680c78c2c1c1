// Tools is the small commands of a node (package
// hurdlab/images/mach/tools), all in one program: it is the one whose name it
// was called by, or that its first argument names if it was called tools.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	os.Exit(tools.Run(context.Background(), filepath.Base(args[0]), tools.Call{
		Args: args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}
