//go:build linux || hurd

package fstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A P is what a case about the protocol works with: a T, whose paths it does
// not use, and the case's directory as a port.
type P struct {
	*T
	self  *hurd.Process
	ports ports.Exporter
	call  func(ctx context.Context, to mach.Port, m *mach.Message) error
	// layout is that of messages, nil for this machine's.
	layout *wire.Layout
	dir    mach.Port // borrowed

	closers []closer // of ports that kill ends
}

type closer struct {
	port  mach.Port
	close func()
}

var portOptions ports.Options

// message begins a message, with the layout that the server understands.
func (p *P) message(id int32) *mach.Message {
	if p.layout != nil {
		return wire.New(*p.layout, id)
	}
	return mach.NewMessage(id)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// A Server is a file system to run cases about the protocol on that is
// reached by its ports alone: on the host, one in the same process.
type Server struct {
	// Self has the authentication handle, of root.
	Self *hurd.Process
	// Dir is a directory, open as root.
	Dir mach.Port
	// Ports makes the ports of cases that are servers themselves.
	Ports ports.Exporter
	// Call sends messages of a case's own making, which have this layout.
	Call   func(ctx context.Context, to mach.Port, m *mach.Message) error
	Layout wire.Layout
	Lacks  Feature
	// Timeout is how long a case may take, 1 minute if it is 0.
	Timeout time.Duration
}

// RunProtocol runs cases about the protocol on s, as [Run] does all cases.
// They leave what they have made.
func RunProtocol(ctx context.Context, s Server, cases []Case, report func(Result)) error {
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Needs&Protocol == 0 {
			continue
		}
		if lacks := c.Needs & s.Lacks; lacks != 0 {
			report(Result{Name: c.Name, Status: Skipped, Why: "needs " + lacks.String()})
			continue
		}
		name := fmt.Sprintf("%03d", i)
		if err := proto.DirMkdir(ctx, s.Dir, name, 0o755); err != nil {
			return fmt.Errorf("a directory for case %s: %w", c.Name, err)
		}
		_, _, dir, err := proto.DirLookup(ctx, s.Dir, name, proto.O_READ, 0)
		if err != nil {
			return fmt.Errorf("the directory for case %s: %w", c.Name, err)
		}
		cctx, cancel := context.WithTimeout(ctx, s.Timeout)
		p := &P{T: &T{ctx: cctx}, self: s.Self, ports: s.Ports, call: s.Call, layout: &s.Layout, dir: dir}
		report(p.runCase(c, s.Timeout))
		cancel()
		proto.Release(ctx, dir)
	}
	return nil
}

func (p *P) runCase(c Case, timeout time.Duration) Result {
	p.T.protocol = p
	return p.run(c.Name, timeout, func() { c.Run(p.T) })
}

// must is for the results of what prepares a case.
func must[V any](p *P, what string) func(V, error) V {
	return func(v V, err error) V {
		p.OK(err, "%s", what)
		return v
	}
}

// Code reports an error whose code is none of want; 0 stands for success.
func (p *P) Code(err error, what string, want ...mach.KernReturn) {
	var code mach.KernReturn
	if err != nil {
		code = proto.Code(err)
	}
	if !slices.Contains(want, code) {
		p.Errorf("%s: %v (%#x), want %v", what, err, uint32(code), want)
	}
}

// Optional skips the case if a routine is one that the server need not have.
func (p *P) Optional(err error, what string) {
	switch code := proto.Code(err); {
	case err == nil:
	case code == proto.EOPNOTSUPP, code == mach.MigBadID, code == proto.ENOSYS:
		p.Skipf("the server has no %s", what)
	default:
		p.Fatalf("%s: %v", what, err)
	}
}

// keep releases a right when the case ends.
func (p *P) keep(port mach.Port) mach.Port {
	if port.Valid() {
		p.Cleanup(func() { proto.Release(context.WithoutCancel(p.ctx), port) })
	}
	return port
}

// lookup opens a name in a directory, which must be there in one step.
func (p *P) lookup(dir mach.Port, name string, flags int32) mach.Port {
	return p.create(dir, name, flags, 0)
}

func (p *P) create(dir mach.Port, name string, flags, mode int32) mach.Port {
	retry, rest, port, err := proto.DirLookup(p.ctx, dir, name, flags, mode)
	p.OK(err, "dir_lookup of %q", name)
	p.keep(port)
	if retry != proto.RetryNormal || rest != "" || !port.Valid() {
		p.Fatalf("dir_lookup of %q: retry %d with %q, port %v", name, retry, rest, port)
	}
	return port
}

// fails is an open that fails, with one of the codes want.
func (p *P) fails(dir mach.Port, name string, flags int32, want ...mach.KernReturn) {
	_, _, port, err := proto.DirLookup(p.ctx, dir, name, flags, 0o644)
	p.keep(port)
	p.Code(err, fmt.Sprintf("dir_lookup of %.40q with flags %#x", name, flags), want...)
}

// file makes a file with a content and opens it to read and write.
func (p *P) file(name, content string) mach.Port {
	f := p.create(p.dir, name, proto.O_RDWR|proto.O_CREAT|proto.O_EXCL, 0o644)
	if content != "" {
		n, err := proto.IOWrite(p.ctx, f, []byte(content), 0)
		p.OK(err, "io_write")
		if n != uint64(len(content)) {
			p.Fatalf("io_write wrote %d of %d bytes", n, len(content))
		}
	}
	return f
}

// mkdir makes a directory and opens it.
func (p *P) mkdir(name string) mach.Port {
	p.OK(proto.DirMkdir(p.ctx, p.dir, name, 0o755), "dir_mkdir")
	return p.lookup(p.dir, name, proto.O_READ)
}

// symlink makes a symbolic link as libc does (section 5.8).
func (p *P) symlink(name, target string) {
	p.special(name, "/hurd/symlink", target)
}

func (p *P) special(name string, argv ...string) {
	node := p.keep(must[mach.Port](p, "dir_mkfile")(proto.DirMkfile(p.ctx, p.dir, proto.O_WRITE, 0o777)))
	p.OK(proto.FileSetTranslator(p.ctx, node, proto.FS_TRANS_SET|proto.FS_TRANS_EXCL, 0, 0, hurd.Argz(argv...), proto.Right{}), "file_set_translator")
	p.OK(proto.DirLink(p.ctx, p.dir, node, name, 1), "dir_link")
}

func (p *P) stat(port mach.Port) proto.Stat {
	return must[proto.Stat](p, "io_stat")(proto.IOStat(p.ctx, port))
}

// read reads at an offset, or with -1 at the file pointer.
func (p *P) read(port mach.Port, offset int64, n uint64) string {
	return string(must[[]byte](p, "io_read")(proto.IORead(p.ctx, port, offset, n)))
}

func (p *P) write(port mach.Port, offset int64, data string) {
	n := must[uint64](p, "io_write")(proto.IOWrite(p.ctx, port, []byte(data), offset))
	Equal(p.T, n, uint64(len(data)), "bytes written")
}

// identity is what tells a file from others.
type identity struct {
	id, fsid mach.Port
	fileno   int64
}

func (p *P) identity(port mach.Port) identity {
	id, fsid, fileno, err := proto.IOIdentity(p.ctx, port)
	p.OK(err, "io_identity")
	return identity{p.keep(id), p.keep(fsid), fileno}
}

// same reports ports of different files.
func (p *P) same(a, b mach.Port, what string) {
	Equal(p.T, p.identity(a), p.identity(b), "identity of %s", what)
}

// as is a port of what port is, for a user without rights of root.
func (p *P) as(port mach.Port, uid, gid int32, groups ...int32) mach.Port {
	gids := append([]int32{gid}, groups...)
	return p.keep(must[mach.Port](p, "io_restrict_auth")(proto.IORestrictAuth(p.ctx, port, []int32{uid}, gids)))
}

// serve makes a port of the case's own, with a send right.
func (p *P) serve(objects ...any) mach.Port {
	port := must[ports.Port](p, "a port")(p.ports.Export(proto.Handler(objects...), ports.Options{}))
	p.Cleanup(port.Close)
	return p.keep(must[mach.Port](p, "a right")(port.Right()))
}
