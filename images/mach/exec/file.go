package exec

import (
	"context"
	"errors"
	"strings"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// maxRead is the most that is read of a file at a time.
const maxRead = 64 << 10

// A program is an open program file.
type program struct {
	file   mach.Port // borrowed, or of the server's own
	own    bool
	object mach.Port // its memory object, or null if it has none
	length uint64
	head   []byte // its first page
	img    *image
}

func (p *program) size() uint64 { return p.length }

func (p *program) readAt(ctx context.Context, off uint32, n int) ([]byte, error) {
	var b []byte
	for len(b) < n {
		part, err := proto.IORead(ctx, p.file, int64(off)+int64(len(b)), uint64(min(n-len(b), maxRead)))
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			break
		}
		b = append(b, part[:min(len(part), n-len(b))]...)
	}
	return b, nil
}

// open looks at a file.
func open(ctx context.Context, file mach.Port, own bool) (*program, error) {
	p := &program{file: file, own: own}
	err := p.open(ctx)
	if err != nil {
		p.close(ctx)
		return nil, err
	}
	return p, nil
}

func (p *program) open(ctx context.Context) error {
	rd, wr, err := proto.IOMap(ctx, p.file)
	switch {
	case err == nil:
		proto.Release(ctx, wr)
		if rd.Valid() {
			p.object = rd
		}
	case !errors.Is(err, proto.EOPNOTSUPP) && !errors.Is(err, mach.MigBadID):
		return err
	}
	if p.head, err = p.readAt(ctx, 0, pageSize); err != nil {
		return err
	}
	// Last: netmsg answers this when it knows that the file is still the program that the
	// rest is of.
	st, err := proto.IOStat(ctx, p.file)
	if err != nil {
		return err
	}
	if st.Size < 0 {
		return proto.ENOEXEC
	}
	p.length = uint64(st.Size)
	return nil
}

func (p *program) close(ctx context.Context) {
	if p == nil {
		return
	}
	proto.Release(ctx, p.object)
	p.object = mach.Null
	if p.own {
		proto.Release(ctx, p.file)
		p.file = mach.Null
	}
}

// maxLookups bounds how often the search for a file goes on elsewhere.
const maxLookups = 32

// lookup opens a file to execute it, with the ports that the new program will
// have.
func lookup(ctx context.Context, k Kernel, ports []mach.Port, path string) (mach.Port, error) {
	at := func(i int) mach.Port {
		if i < len(ports) {
			return ports[i]
		}
		return mach.Null
	}
	root := at(proto.InitPortRoot)
	dir := at(proto.InitPortCWD)
	name := path
	var held mach.Port
	defer func() { proto.Release(ctx, held) }()
	for range maxLookups {
		if rest, ok := strings.CutPrefix(name, "/"); ok {
			dir, name = root, strings.TrimLeft(rest, "/")
		}
		if !dir.Valid() {
			return mach.Null, proto.ENOENT
		}
		retry, next, result, err := proto.DirLookup(ctx, dir, name, proto.O_READ|proto.O_EXEC, 0)
		if err != nil {
			return mach.Null, err
		}
		if retry == proto.RetryReauth && result.Valid() {
			old := result
			result, err = reauthenticate(ctx, k, old, at(proto.InitPortAuth))
			proto.Release(ctx, old)
			if err != nil {
				return mach.Null, err
			}
		}
		proto.Release(ctx, held)
		held = mach.Null
		switch {
		case retry == proto.RetryMagical:
			proto.Release(ctx, result)
			if !strings.HasPrefix(next, "/") {
				return mach.Null, proto.ENOENT
			}
			dir, name = root, next
		case !result.Valid():
			return mach.Null, proto.ENOENT
		case next == "":
			return result, nil
		default:
			held, dir, name = result, result, next
		}
	}
	return mach.Null, proto.ELOOP
}

// reauthenticate returns a port to the object of port p for the user of an
// auth handle.
func reauthenticate(ctx context.Context, k Kernel, p, auth mach.Port) (mach.Port, error) {
	return meet(ctx, k, auth, func(rendezvous proto.Right) error { return proto.IOReauthenticate(ctx, p, rendezvous) })
}

// meet has a server and an auth handle meet at a new rendezvous port.
func meet(ctx context.Context, k Kernel, auth mach.Port, ask func(rendezvous proto.Right) error) (mach.Port, error) {
	rendezvous, done, err := k.NewRendezvous()
	if err != nil {
		return mach.Null, err
	}
	defer done()
	if err := ask(rendezvous); err != nil {
		return mach.Null, err
	}
	return proto.AuthUserAuthenticate(ctx, auth, rendezvous)
}
