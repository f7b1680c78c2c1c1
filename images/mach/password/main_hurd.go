package password

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

const shadow = "/etc/shadow"

// Main is the command.
func Main() {
	self := hurd.Self()
	err := translator.Serve(context.Background(), translator.Config{
		Root: &Server{
			Hash: hash,
			Auth: func(ctx context.Context, uids, gids []int32) (mach.Port, error) {
				return proto.AuthMakeauth(ctx, self.Auth, nil, uids, uids, gids, gids)
			},
		},
		Name: os.Args[0],
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "password:", err)
		os.Exit(1)
	}
}

func hash(uid uint32) (string, bool, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", false, nil // who is unknown has no password
	}
	b, err := os.ReadFile(shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	h, ok := Find(b, u.Username)
	return h, ok, err
}
