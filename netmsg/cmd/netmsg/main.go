// Netmsg carries Mach messages between nodes, and mounts their file systems.
//
//	netmsg serve [flags]       the netmsg of this node: /servers/netmsg
//	netmsg status              sessions, rights and bytes
//	netmsg trace               what passes, as it passes
//	netmsg reconnect NODE      a new session with a node
//	netmsg keys make|show      this node's key
//	netmsg NODE[:EXPORT]       as a translator: the root of another node
//
// As a translator it is started by settrans:
//
//	settrans -a /n/node2 /hurd/netmsg node2
//
// docs/netmsg.md tells how to set it up.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage:
  netmsg serve [flags]     be the netmsg of this node, at /servers/netmsg (-help: flags)
  netmsg status            show sessions, rights and bytes
  netmsg trace             show messages as they pass
  netmsg reconnect NODE    end the session with a node and open another
  netmsg keys make|show    make this node's key, or show its public half
  netmsg [flags] NODE[:EXPORT]
                           as a translator: the root of another node
                           (settrans -a /n/node2 /hurd/netmsg node2)
`

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	// Who started a translator may have gone, and with it where it writes errors to.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch verb, args := args[0], args[1:]; verb {
	case "serve":
		err = serve(ctx, args)
	case "status":
		err = status(ctx, args)
	case "reconnect":
		err = reconnect(ctx, args)
	case "trace":
		err = trace(ctx, args)
	case "keys":
		err = keys(args)
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
	default:
		err = mount(ctx, append([]string{verb}, args...))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "netmsg: %s\n", strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}
