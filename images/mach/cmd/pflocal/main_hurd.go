// Command pflocal is the server of local sockets and pipes: a translator at
// /servers/socket/1 (package pflocal).
package main

import "hurdlab/images/mach/pflocal"

func main() { pflocal.Main() }
