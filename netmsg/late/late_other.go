//go:build !hurd

package late

import "net"

// Wrap makes a connection whose writes are late after WriteLate: of TCP on the Hurd. Others
// stay as they are.
func Wrap(c net.Conn) net.Conn { return c }
