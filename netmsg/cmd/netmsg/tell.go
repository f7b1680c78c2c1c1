package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"hurdlab/hurd/proto"
)

// status prints what this node's netmsg says of itself.
func status(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return errors.New("usage: netmsg status")
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	text, err := proto.NetmsgStatus(ctx, p)
	if err != nil {
		return fmt.Errorf("%w (%w)", errNoServer, err)
	}
	_, err = os.Stdout.Write(text)
	return err
}

// trace prints messages as they pass, until it is interrupted, or until -n have.
func trace(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("netmsg trace", flag.ExitOnError)
	looks := f.Int("n", 0, "end after so many `times` that there was something to show")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	cursor := int64(-1)
	for n := 0; *looks == 0 || n < *looks; {
		next, text, err := proto.NetmsgTrace(ctx, p, cursor, 1)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w (%w)", errNoServer, err)
		}
		if len(text) > 0 {
			n++
			os.Stdout.Write(text)
		}
		cursor = next
	}
	return nil
}

// reconnect ends the session with a node and opens another. What was open there is dead.
func reconnect(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: netmsg reconnect NODE")
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	switch err := proto.NetmsgReconnect(ctx, p, args[0]); {
	case gone(err):
		return fmt.Errorf("%w (%w)", errNoServer, err)
	case errors.Is(err, proto.ENXIO):
		return fmt.Errorf("%s is not in the list of peers (/etc/netmsg/peers)", args[0])
	case errors.Is(err, proto.EACCES):
		return fmt.Errorf("%s refuses: does each of the two nodes have the other's key in its list of peers (/etc/netmsg/peers)?", args[0])
	case err != nil:
		return fmt.Errorf("%s: %w. Does it run, and netmsg on it?", args[0], err)
	}
	return nil
}
