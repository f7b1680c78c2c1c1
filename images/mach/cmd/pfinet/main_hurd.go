// Command pfinet is the Internet server: a translator at /servers/socket/2
// (packages pfinet and ipstack) that drives a virtio network card. It runs as
// root, who gets the hardware from the process server.
//
//	pfinet --interface=52:54:00:12:34:56 --address=10.77.0.11 --netmask=255.255.255.0 --gateway=10.77.0.1
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/ipstack"
	"hurdlab/images/mach/machine"
	"hurdlab/images/mach/pfinet"
)

func main() {
	// A node has little memory: collect before the heap takes a second arena.
	debug.SetGCPercent(50)
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "pfinet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var opt pfinet.Options
	opt.Flags(flag.CommandLine)
	flag.Parse()

	self := hurd.Self()
	hostPriv, deviceMaster, err := proto.ProcGetprivports(ctx, self.Proc)
	if err != nil {
		return fmt.Errorf("the hardware is for root: %w", err)
	}
	card, err := machine.Machine{HostPriv: hostPriv, DeviceMaster: deviceMaster, KeepDMA: true}.OpenCard(ctx, opt.Card())
	if err != nil {
		return err
	}
	stack, err := ipstack.New(card, ipstack.Config{})
	if err != nil {
		return err
	}
	if err := opt.Use(stack); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- stack.Serve(ctx) }()

	export := &ports.Kernel{MaxObjects: 3 * pfinet.MaxSockets}
	go func() {
		failed <- translator.Serve(ctx, translator.Config{
			Root:    pfinet.NewServer(stack, &ioport.Host{Export: export, Auth: self.Auth}),
			Name:    os.Args[0],
			Options: flag.CommandLine,
			FSType:  proto.FSTypeSocket,
			Ports:   export,
		})
	}()
	err = <-failed
	// The card must not write to memory that is another's by then.
	card.Close()
	return err
}
