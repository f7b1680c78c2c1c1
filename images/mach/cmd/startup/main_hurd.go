// Command startup is the startup server (package startup). The root file
// system starts it, by exec, with a bootstrap port of its own that gives it
// the privileged ports:
//
//	/hurd/startup [--init=COMMAND]
package main

import "hurdlab/images/mach/startup"

func main() { startup.Main() }
