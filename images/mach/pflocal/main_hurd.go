package pflocal

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
)

// Main is the command.
func Main() {
	// A node has little memory: collect before the heap takes a second arena.
	debug.SetGCPercent(50)
	export := &ports.Kernel{MaxObjects: MaxSockets * 3 / 2}
	err := translator.Serve(context.Background(), translator.Config{
		Root:   NewPorts(&ioport.Host{Export: export, Auth: hurd.Self().Auth}),
		Name:   os.Args[0],
		FSType: proto.FSTypeSocket,
		Ports:  export,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "pflocal:", err)
		os.Exit(1)
	}
}
