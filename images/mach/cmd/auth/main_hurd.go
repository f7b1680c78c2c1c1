// Command auth is the auth server (package auth). The startup server starts
// it, with its own port as the bootstrap port.
package main

import "hurdlab/images/mach/auth"

func main() { auth.Main() }
