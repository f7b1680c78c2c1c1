package main

import (
	"context"
	"errors"
	"fmt"

	"hurdlab/hurd/proto"
)

func status(ctx context.Context, _ []string) error {
	p, err := open(ctx)
	if err != nil {
		return err
	}
	text, err := proto.NetmsgStatus(ctx, p)
	if err != nil {
		return fmt.Errorf("%w (%w)", errNoServer, err)
	}
	fmt.Print(string(text))
	return nil
}

func trace(ctx context.Context, _ []string) error { return errors.New("not there yet") }
