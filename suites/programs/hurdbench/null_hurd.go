package main

import (
	"context"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"syscall"
)

// nullRPC returns a call to the server of a file that does nothing.
func nullRPC(file string) (call func() error, done func(), err error) {
	start := syscall.HurdStart()
	ctx := context.Background()
	root := mach.Port(start.Ports[proto.InitPortRoot])
	_, _, port, err := proto.DirLookup(ctx, root, file[1:], proto.O_READ, 0)
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		_, err := proto.IOGetOpenmodes(ctx, port)
		return err
	}, func() { proto.Release(ctx, port) }, nil
}
