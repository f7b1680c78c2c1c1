// Command hurd is several servers in one program: it is the one whose name it
// is called by. Each is a command of its own, too, and nothing but the program
// file is shared; but one file takes less of a node's memory than seven that
// are alike for the most part, and what one of them has brought into memory the
// others need not.
package main

import (
	"fmt"
	"os"
	"path"

	"hurdlab/images/mach/auth"
	"hurdlab/images/mach/password"
	"hurdlab/images/mach/pflocal"
	"hurdlab/images/mach/proc"
	"hurdlab/images/mach/startup"
	"hurdlab/images/mach/sysinit"
)

var servers = map[string]func(){
	"auth": auth.Main, "init": sysinit.Main, "password": password.Main, "pflocal": pflocal.Main, "proc": proc.Main, "startup": startup.Main,
}

func main() {
	name := ""
	if len(os.Args) > 0 {
		name = path.Base(os.Args[0])
	}
	server := servers[name]
	if server == nil {
		fmt.Fprintf(os.Stderr, "%q is none of the servers here\n", name)
		os.Exit(2)
	}
	server()
}
