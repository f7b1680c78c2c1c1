// Setclock sets the wall clock of a node, which only root can do.
//
//	setclock SECONDS-SINCE-1970
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "setclock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: setclock SECONDS-SINCE-1970")
	}
	s, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	host, _, err := proto.ProcGetprivports(ctx, hurd.Self().Proc)
	if err != nil {
		return err
	}
	return mach.HostSetTime(host, time.Unix(s, 0))
}
