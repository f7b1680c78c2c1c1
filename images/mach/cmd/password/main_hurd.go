// Command password is the password server: a translator at /servers/password
// (package password), which runs as root.
package main

import "hurdlab/images/mach/password"

func main() { password.Main() }
