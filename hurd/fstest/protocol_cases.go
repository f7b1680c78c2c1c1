//go:build linux || hurd

package fstest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// ProtocolCases returns the cases about what only the protocol shows.
func ProtocolCases() []Case {
	var all []Case
	for _, cases := range [][]Case{
		lookupProtocol(), openProtocol(), ioProtocol(), authProtocol(), fileProtocol(), dirProtocol(),
		translatorProtocol(), noticeProtocol(), messageProtocol(),
	} {
		all = append(all, cases...)
	}
	return all
}

func protocol(name string, f func(p *P)) Case { return protocolNeeds(0, name, f) }

func protocolNeeds(needs Feature, name string, f func(p *P)) Case {
	return Case{name, needs | Protocol, func(t *T) { f(t.protocol) }}
}

func lookupProtocol() []Case {
	// lookup is a look-up that may not be over.
	lookup := func(p *P, name string, flags int32) (retry int32, rest string, port mach.Port) {
		retry, rest, port, err := proto.DirLookup(p.ctx, p.dir, name, flags, 0)
		p.OK(err, "dir_lookup of %q", name)
		return retry, rest, p.keep(port)
	}
	return []Case{
		protocol("dir_lookup/reply-of-a-file", func(p *P) {
			p.file("f", "content")
			Equal(p.T, p.read(p.lookup(p.dir, "f", proto.O_READ), 0, 100), "content", "content")
		}),
		protocol("dir_lookup/empty-name-opens-it-again", func(p *P) {
			p.same(p.lookup(p.dir, "", proto.O_READ), p.dir, "the directory")
			f := p.file("f", "content")
			again := p.lookup(f, "", proto.O_READ)
			p.same(again, f, "the file")
			p.read(again, -1, 3)
			Equal(p.T, p.read(f, -1, 3), "con", "what the first reads, with a pointer of its own")
		}),
		protocol("dir_lookup/empty-name-with-less", func(p *P) {
			f := p.lookup(p.file("f", "content"), "", 0)
			_, err := proto.IORead(p.ctx, f, 0, 10)
			p.Code(err, "io_read", proto.EBADF)
		}),
		protocol("dir_lookup/slash-is-the-directory", func(p *P) {
			p.same(p.lookup(p.dir, "/", proto.O_READ), p.dir, "the directory")
		}),
		protocol("dir_lookup/leading-slashes", func(p *P) {
			p.same(p.file("f", ""), p.lookup(p.dir, "///f", 0), "the file")
		}),
		protocol("dir_lookup/below-a-file", func(p *P) {
			p.fails(p.file("f", ""), "x", 0, proto.ENOTDIR)
		}),
		protocol("dir_lookup/slash-of-a-file", func(p *P) {
			p.fails(p.file("f", ""), "/", 0, proto.ENOTDIR, 0)
		}),
		protocol("dir_lookup/longest-string", func(p *P) {
			p.fails(p.dir, strings.Repeat("n", 1023), 0, proto.ENAMETOOLONG)
			p.fails(p.dir, strings.Repeat("n", 1023), proto.O_CREAT, proto.ENAMETOOLONG)
			p.mkdir("d")
			p.lookup(p.dir, strings.Repeat("d/../", 204)+"d", 0)
		}),
		protocol("dir_lookup/link-inside", func(p *P) {
			p.file("f", "content")
			p.symlink("l", "f")
			Equal(p.T, p.read(p.lookup(p.dir, "l", proto.O_READ), 0, 100), "content", "content")
		}),
		protocol("dir_lookup/absolute-link-is-magical", func(p *P) {
			p.symlink("l", "/a/b")
			retry, rest, port := lookup(p, "l", proto.O_READ)
			Equal(p.T, retry, proto.RetryMagical, "retry")
			Equal(p.T, rest, "/a/b", "name")
			Equal(p.T, port.Valid(), false, "a port comes")
			retry, rest, _ = lookup(p, "l/c/d", proto.O_READ)
			Equal(p.T, retry, proto.RetryMagical, "retry with a rest")
			Equal(p.T, rest, "/a/b/c/d", "name with a rest")
		}),
		protocol("dir_lookup/absolute-link-and-too-long-a-rest", func(p *P) {
			p.symlink("l", "/"+strings.Repeat("a/", 300))
			name := "l" + strings.Repeat("/b", 300)
			p.fails(p.dir, name, 0, proto.ENAMETOOLONG)
		}),
		protocol("dir_lookup/link-loop", func(p *P) {
			p.symlink("a", "b")
			p.symlink("b", "a")
			p.fails(p.dir, "a", 0, proto.ELOOP)
			p.fails(p.dir, "a/x", 0, proto.ELOOP)
		}),
		protocol("dir_lookup/O_NOLINK", func(p *P) {
			p.file("f", "")
			p.symlink("l", "f")
			p.fails(p.dir, "l", proto.O_WRITE|proto.O_NOLINK, proto.ELOOP)
			l := p.lookup(p.dir, "l", proto.O_READ|proto.O_NOLINK)
			Equal(p.T, p.stat(l).Mode&proto.S_IFMT, proto.S_IFLNK, "type")
			Equal(p.T, p.read(l, 0, 100), "f", "content")
			p.mkdir("d")
			p.symlink("m", "d")
			p.file("d/g", "")
			p.lookup(p.dir, "m/g", proto.O_NOLINK)
		}),
		protocol("dir_lookup/O_NOTRANS-of-a-link", func(p *P) {
			p.symlink("l", "nowhere")
			Equal(p.T, p.stat(p.lookup(p.dir, "l", proto.O_NOTRANS)).Mode&proto.S_IFMT, proto.S_IFLNK, "type")
		}),
		protocol("dir_lookup/O_NOLINK-of-a-file", func(p *P) {
			p.file("f", "content")
			Equal(p.T, p.read(p.lookup(p.dir, "f", proto.O_READ|proto.O_NOLINK), 0, 3), "con", "content")
		}),
		protocol("dir_lookup/create-ignores-the-type", func(p *P) {
			f := p.create(p.dir, "f", proto.O_CREAT, proto.S_IFDIR|0o640)
			Equal(p.T, p.stat(f).Mode&(proto.S_IFMT|0o777), proto.S_IFREG|0o640, "mode")
		}),
		protocol("dir_lookup/create-excl", func(p *P) {
			p.file("f", "")
			p.symlink("l", "nowhere")
			for _, name := range []string{"f", "l"} {
				p.fails(p.dir, name, proto.O_CREAT|proto.O_EXCL, proto.EEXIST)
				p.fails(p.dir, name, proto.O_CREAT|proto.O_EXCL|proto.O_NOLINK, proto.EEXIST)
			}
		}),
		protocol("dir_lookup/flags-of-clients", func(p *P) {
			// Servers may see them and leave them to the client.
			f := p.file("f", "content")
			p.lookup(p.dir, "f", proto.O_READ|proto.O_TRUNC|proto.O_CLOEXEC|proto.O_IGNORE_CTTY|proto.O_NOFOLLOW)
			Equal(p.T, p.read(f, 0, 100), "content", "content")
		}),
		protocol("dir_lookup/O_EXLOCK", func(p *P) {
			p.file("f", "")
			_, _, first, err := proto.DirLookup(p.ctx, p.dir, "f", proto.O_READ|proto.O_EXLOCK|proto.O_NONBLOCK, 0)
			if err != nil {
				p.Skipf("the server has no locks at opening: %v", err)
			}
			_, other, err := proto.FileLockStat(p.ctx, p.lookup(p.dir, "f", proto.O_READ))
			if err != nil || other&proto.LOCK_EX == 0 {
				proto.Release(p.ctx, first)
				p.Skipf("the server does not lock at opening")
			}
			p.fails(p.dir, "f", proto.O_READ|proto.O_SHLOCK|proto.O_NONBLOCK, proto.EAGAIN)
			proto.Release(p.ctx, first)
			p.soon("the lock outlives its port", func() bool {
				_, _, port, err := proto.DirLookup(p.ctx, p.dir, "f", proto.O_READ|proto.O_SHLOCK|proto.O_NONBLOCK, 0)
				proto.Release(p.ctx, port)
				return err == nil
			})
		}),
		protocol("dir_lookup/of-a-directory-to-write", func(p *P) {
			p.mkdir("d")
			p.fails(p.dir, "d", proto.O_WRITE, proto.EISDIR)
		}),
		protocol("dir_lookup/of-a-directory-to-execute", func(p *P) {
			// That is searching it.
			p.lookup(p.dir, "", proto.O_EXEC)
		}),
		protocol("dir_lookup/of-a-file-to-execute", func(p *P) {
			f := p.file("f", "")
			p.fails(p.dir, "f", proto.O_EXEC, proto.EACCES)
			p.OK(proto.FileChmod(p.ctx, f, 0o755), "file_chmod")
			p.lookup(p.dir, "f", proto.O_EXEC)
		}),
	}
}

// interrupted has a call wait at a port until interrupt_operation ends it.
func (p *P) interrupted(port mach.Port, what string, call func(context.Context) error) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	for begun := time.Now(); ; {
		select {
		case err := <-done:
			p.Code(err, what+", interrupted", proto.EINTR)
			if time.Since(begun) < grace/2 {
				p.Errorf("%s does not wait", what)
			}
			return
		case <-time.After(grace):
			// Again, if the call has not been there the first time.
			err := proto.InterruptOperation(p.ctx, port)
			if err != nil {
				cancel()
				<-done
			}
			p.Optional(err, "interrupt_operation")
		case <-p.ctx.Done():
			p.Fatalf("%s: interrupt_operation does not end it", what)
		}
	}
}

// openProtocol is what a port lets one do, by how it was opened.
func openProtocol() []Case {
	var cases []Case
	type use struct {
		name string
		bits int32 // one of which it needs
		do   func(p *P, f mach.Port) error
	}
	uses := []use{
		{"io_read", proto.O_READ, func(p *P, f mach.Port) error { _, err := proto.IORead(p.ctx, f, 0, 3); return err }},
		{"io_write", proto.O_WRITE, func(p *P, f mach.Port) error { _, err := proto.IOWrite(p.ctx, f, []byte("x"), 0); return err }},
		{"file_set_size", proto.O_WRITE, func(p *P, f mach.Port) error { return proto.FileSetSize(p.ctx, f, 3) }},
		{"io_stat", 0, func(p *P, f mach.Port) error { _, err := proto.IOStat(p.ctx, f); return err }},
		{"io_seek", 0, func(p *P, f mach.Port) error { _, err := proto.IOSeek(p.ctx, f, 1, proto.SeekSet); return err }},
		{"file_chmod", 0, func(p *P, f mach.Port) error { return proto.FileChmod(p.ctx, f, 0o755) }},
		{"file_check_access", 0, func(p *P, f mach.Port) error { _, err := proto.FileCheckAccess(p.ctx, f); return err }},
	}
	for _, m := range []struct {
		name  string
		flags int32
	}{{"nothing", 0}, {"reading", proto.O_READ}, {"writing", proto.O_WRITE}, {"both", proto.O_RDWR}, {"executing", proto.O_EXEC}} {
		for _, u := range uses {
			cases = append(cases, protocol(fmt.Sprintf("%s/port-opened-for-%s", u.name, m.name), func(p *P) {
				p.OK(proto.FileChmod(p.ctx, p.file("f", "content"), 0o777), "file_chmod")
				err := u.do(p, p.lookup(p.dir, "f", m.flags))
				if u.bits == 0 || u.bits&m.flags != 0 {
					p.Code(err, u.name, 0)
				} else {
					p.Code(err, u.name, proto.EBADF, proto.EINVAL)
				}
			}))
		}
	}
	return cases
}

func ioProtocol() []Case {
	modes := func(p *P, f mach.Port) int32 {
		return must[int32](p, "io_get_openmodes")(proto.IOGetOpenmodes(p.ctx, f))
	}
	return []Case{
		protocol("io_read/offset-and-pointer", func(p *P) {
			f := p.file("f", "0123456789")
			Equal(p.T, p.read(f, -1, 3), "012", "at the pointer")
			Equal(p.T, p.read(f, 7, 2), "78", "at 7")
			Equal(p.T, p.read(f, -1, 3), "345", "at the pointer again")
			Equal(p.T, p.read(f, -1, 100), "6789", "to the end")
			Equal(p.T, p.read(f, -1, 100), "", "at the end")
		}),
		protocol("io_read/nothing", func(p *P) { Equal(p.T, p.read(p.file("f", "abc"), 0, 0), "", "content") }),
		protocol("io_read/very-much", func(p *P) {
			Equal(p.T, p.read(p.file("f", "abc"), 0, 1<<31-1), "abc", "content")
			Equal(p.T, p.read(p.lookup(p.dir, "f", proto.O_READ), -1, 1<<32-1), "abc", "content")
		}),
		protocol("io_read/negative-offset", func(p *P) {
			_, err := proto.IORead(p.ctx, p.file("f", "abc"), -2, 3)
			p.Code(err, "io_read", proto.EINVAL)
		}),
		protocol("io_read/much-out-of-line", func(p *P) {
			data := string(pattern(1 << 20))
			f := p.file("f", "")
			for at := 0; at < len(data); {
				n := must[uint64](p, "io_write")(proto.IOWrite(p.ctx, f, []byte(data[at:]), -1))
				if n == 0 {
					p.Fatalf("io_write wrote nothing")
				}
				at += int(n)
			}
			var got []byte
			for len(got) < len(data) {
				s := p.read(f, int64(len(got)), uint64(len(data)))
				if s == "" {
					break
				}
				got = append(got, s...)
			}
			p.sameBytes(got, []byte(data), "content")
		}),
		protocol("io_write/negative-offset", func(p *P) {
			_, err := proto.IOWrite(p.ctx, p.file("f", "abc"), []byte("x"), -2)
			p.Code(err, "io_write", proto.EINVAL)
		}),
		protocol("io_write/nothing", func(p *P) {
			f := p.file("f", "abc")
			p.write(f, 100, "")
			Equal(p.T, p.stat(f).Size, 3, "size")
		}),
		protocol("io_write/offset-of-an-appending-port", func(p *P) {
			// POSIX wants the offset, others append whatever it is.
			f := p.lookup(p.file("f", "abcdef"), "", proto.O_RDWR|proto.O_APPEND)
			p.write(f, -1, "X")
			Equal(p.T, p.read(f, 0, 100), "abcdefX", "content")
		}),
		protocol("io_seek/whence", func(p *P) {
			f := p.file("f", "0123456789")
			for _, x := range []struct {
				offset int64
				whence int32
				want   int64
			}{{4, proto.SeekSet, 4}, {2, proto.SeekCur, 6}, {-1, proto.SeekEnd, 9}, {100, proto.SeekEnd, 110}, {0, proto.SeekCur, 110}} {
				Equal(p.T, must[int64](p, "io_seek")(proto.IOSeek(p.ctx, f, x.offset, x.whence)), x.want, "io_seek by %d, whence %d", x.offset, x.whence)
			}
			for _, whence := range []int32{-1, 5, 1 << 30} {
				_, err := proto.IOSeek(p.ctx, f, 0, whence)
				p.Code(err, fmt.Sprintf("io_seek with whence %d", whence), proto.EINVAL)
			}
			_, err := proto.IOSeek(p.ctx, f, -1, proto.SeekSet)
			p.Code(err, "io_seek below zero", proto.EINVAL)
		}),
		protocol("io_readable/file", func(p *P) {
			f := p.file("f", "0123456789")
			n, err := proto.IOReadable(p.ctx, f)
			p.Optional(err, "io_readable")
			Equal(p.T, n, 10, "at the beginning")
			p.read(f, -1, 4)
			Equal(p.T, must[uint64](p, "io_readable")(proto.IOReadable(p.ctx, f)), 6, "after 4 bytes")
		}),
		protocol("io_get_openmodes/as-opened", func(p *P) {
			p.file("f", "")
			const mask = proto.O_RDWR | proto.O_APPEND | proto.O_NONBLOCK | proto.O_EXEC
			for _, flags := range []int32{0, proto.O_READ, proto.O_WRITE, proto.O_RDWR, proto.O_WRITE | proto.O_APPEND, proto.O_READ | proto.O_NONBLOCK} {
				Equal(p.T, modes(p, p.lookup(p.dir, "f", flags))&mask, flags, "modes of a port opened with %#x", flags)
			}
		}),
		protocol("io_set_all_openmodes/append", func(p *P) {
			f := p.file("f", "abc")
			p.OK(proto.IOSetAllOpenmodes(p.ctx, f, proto.O_APPEND|proto.O_NONBLOCK), "io_set_all_openmodes")
			Equal(p.T, modes(p, f)&(proto.O_APPEND|proto.O_NONBLOCK|proto.O_RDWR), proto.O_APPEND|proto.O_NONBLOCK|proto.O_RDWR, "modes")
			p.write(f, -1, "d")
			Equal(p.T, p.read(f, 0, 10), "abcd", "content")
			p.OK(proto.IOSetAllOpenmodes(p.ctx, f, 0), "io_set_all_openmodes")
			Equal(p.T, modes(p, f)&(proto.O_APPEND|proto.O_NONBLOCK), 0, "modes when cleared")
		}),
		protocol("io_set_some_openmodes/some", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.IOSetSomeOpenmodes(p.ctx, f, proto.O_APPEND), "io_set_some_openmodes")
			p.OK(proto.IOSetSomeOpenmodes(p.ctx, f, proto.O_NONBLOCK), "io_set_some_openmodes")
			Equal(p.T, modes(p, f)&(proto.O_APPEND|proto.O_NONBLOCK), proto.O_APPEND|proto.O_NONBLOCK, "modes")
			p.OK(proto.IOClearSomeOpenmodes(p.ctx, f, proto.O_APPEND), "io_clear_some_openmodes")
			Equal(p.T, modes(p, f)&(proto.O_APPEND|proto.O_NONBLOCK), proto.O_NONBLOCK, "modes")
		}),
		protocol("io_set_some_openmodes/gives-no-rights", func(p *P) {
			p.file("f", "abc")
			f := p.lookup(p.dir, "f", proto.O_READ)
			// Whether it is an error or nothing, writing stays forbidden.
			_ = proto.IOSetSomeOpenmodes(p.ctx, f, proto.O_WRITE)
			_ = proto.IOSetAllOpenmodes(p.ctx, f, proto.O_RDWR)
			_, err := proto.IOWrite(p.ctx, f, []byte("x"), 0)
			p.Code(err, "io_write", proto.EBADF)
		}),
		protocol("io_duplicate/shares-the-pointer", func(p *P) {
			f := p.file("f", "0123456789")
			g := p.keep(must[mach.Port](p, "io_duplicate")(proto.IODuplicate(p.ctx, f)))
			p.same(f, g, "the duplicate")
			p.read(f, -1, 4)
			Equal(p.T, p.read(g, -1, 2), "45", "what the duplicate reads")
			p.OK(proto.IOSetSomeOpenmodes(p.ctx, g, proto.O_APPEND), "io_set_some_openmodes")
			Equal(p.T, modes(p, f)&proto.O_APPEND, proto.O_APPEND, "modes of the first")
		}),
		protocol("io_duplicate/outlives-the-first", func(p *P) {
			p.file("f", "content")
			_, _, f, err := proto.DirLookup(p.ctx, p.dir, "f", proto.O_READ, 0)
			p.OK(err, "dir_lookup")
			g := p.keep(must[mach.Port](p, "io_duplicate")(proto.IODuplicate(p.ctx, f)))
			p.read(f, -1, 3)
			proto.Release(p.ctx, f)
			Equal(p.T, p.read(g, -1, 10), "tent", "what the duplicate reads")
		}),
		protocol("io_identity/file-by-two-names", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.DirLink(p.ctx, p.dir, f, "g", 1), "dir_link")
			p.same(f, p.lookup(p.dir, "g", 0), "the other name")
		}),
		protocol("io_identity/files-differ", func(p *P) {
			a, b := p.identity(p.file("a", "")), p.identity(p.file("b", ""))
			if a.id == b.id || a.fileno == b.fileno {
				p.Errorf("two files are the same: %v and %v", a, b)
			}
			Equal(p.T, a.fsid, b.fsid, "port of the file system")
			if a.id == a.fsid {
				p.Errorf("a file has the port of its file system")
			}
		}),
		protocol("io_identity/number-is-that-of-stat", func(p *P) {
			f := p.file("f", "")
			Equal(p.T, p.identity(f).fileno, int64(p.stat(f).Ino), "number")
		}),
		protocol("io_identity/after-renaming", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.DirRename(p.ctx, p.dir, "f", p.dir, "g", 0), "dir_rename")
			p.same(f, p.lookup(p.dir, "g", 0), "the new name")
		}),
		protocol("io_select/file-is-ready", func(p *P) {
			f := p.file("f", "")
			for _, want := range []int32{proto.SelectRead, proto.SelectWrite, proto.SelectRead | proto.SelectWrite} {
				got := must[int32](p, "io_select")(proto.IOSelect(p.ctx, f, want))
				Equal(p.T, got, want, "io_select")
				got = must[int32](p, "io_select_timeout")(proto.IOSelectTimeout(p.ctx, f, proto.Timespec{}, want))
				Equal(p.T, got, want, "io_select_timeout")
			}
		}),
		protocolNeeds(Fifos, "io_select/fifo", func(p *P) {
			p.special("p", "/hurd/fifo")
			r := p.lookup(p.dir, "p", proto.O_READ|proto.O_NONBLOCK)
			w := p.lookup(p.dir, "p", proto.O_WRITE|proto.O_NONBLOCK)
			soon := func() proto.Timespec {
				at := time.Now().Add(grace)
				return proto.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
			}
			Equal(p.T, must[int32](p, "io_select")(proto.IOSelect(p.ctx, w, proto.SelectWrite)), proto.SelectWrite, "io_select of the writer")
			Equal(p.T, must[int32](p, "io_select_timeout")(proto.IOSelectTimeout(p.ctx, r, soon(), proto.SelectRead)), 0, "io_select_timeout of an empty fifo")
			got := make(chan int32, 1)
			go func() {
				n, err := proto.IOSelect(p.ctx, r, proto.SelectRead)
				if err != nil {
					p.Errorf("io_select: %v", err)
				}
				got <- n
			}()
			select {
			case n := <-got:
				p.Fatalf("io_select of an empty fifo: %d", n)
			case <-time.After(grace):
			}
			p.write(w, -1, "x")
			select {
			case n := <-got:
				Equal(p.T, n, proto.SelectRead, "io_select when there is something")
			case <-p.ctx.Done():
				p.Fatalf("io_select still waits")
			}
		}),
		protocolNeeds(Fifos, "interrupt_operation/read-of-a-fifo", func(p *P) {
			p.special("p", "/hurd/fifo")
			r := p.lookup(p.dir, "p", proto.O_READ|proto.O_NONBLOCK)
			w := p.lookup(p.dir, "p", proto.O_WRITE|proto.O_NONBLOCK)
			p.OK(proto.IOClearSomeOpenmodes(p.ctx, r, proto.O_NONBLOCK), "io_clear_some_openmodes")
			p.interrupted(r, "io_read of an empty fifo", func(ctx context.Context) error {
				_, err := proto.IORead(ctx, r, -1, 10)
				return err
			})
			// What the interrupted read would have got is not lost.
			p.write(w, -1, "hello")
			Equal(p.T, p.read(r, -1, 10), "hello", "content")
		}),
		protocol("io_pathconf/name", func(p *P) {
			const nameMax = 3 // _PC_NAME_MAX
			n, err := proto.IOPathconf(p.ctx, p.dir, nameMax)
			p.Optional(err, "io_pathconf")
			Equal(p.T, n, 255, "_PC_NAME_MAX")
			_, err = proto.IOPathconf(p.ctx, p.dir, 9999)
			p.Code(err, "io_pathconf of nonsense", proto.EINVAL, proto.EOPNOTSUPP)
		}),
		protocol("io_server_version/says-something", func(p *P) {
			name, _, _, _, err := proto.IOServerVersion(p.ctx, p.dir)
			p.Optional(err, "io_server_version")
			if name == "" {
				p.Errorf("the server has no name")
			}
		}),
		protocol("io_mod_owner/get-and-set", func(p *P) {
			f := p.file("f", "")
			err := proto.IOModOwner(p.ctx, f, -42)
			p.Optional(err, "io_mod_owner")
			Equal(p.T, must[int32](p, "io_get_owner")(proto.IOGetOwner(p.ctx, f)), -42, "owner")
		}),
		protocolNeeds(Mapping, "io_map/rights", func(p *P) {
			p.file("f", "content")
			for _, x := range []struct {
				name  string
				flags int32
				r, w  bool
			}{{"reading", proto.O_READ, true, false}, {"writing", proto.O_WRITE, false, true}, {"both", proto.O_RDWR, true, true}} {
				r, w, err := proto.IOMap(p.ctx, p.lookup(p.dir, "f", x.flags))
				if x.flags == proto.O_WRITE && err != nil {
					// Whoever maps can read: a server may refuse those who may not.
					p.Code(err, "io_map of a port for writing", proto.EOPNOTSUPP, proto.EACCES, proto.EBADF)
					continue
				}
				p.OK(err, "io_map of a port for %s", x.name)
				p.keep(r)
				p.keep(w)
				Equal(p.T, r.Valid(), x.r, "an object to read comes with a port for %s", x.name)
				Equal(p.T, w.Valid(), x.w, "an object to write comes with a port for %s", x.name)
				if x.r && x.w {
					Equal(p.T, r, w, "the objects")
				}
			}
		}),
		protocolNeeds(Mapping, "io_map/one-object-a-file", func(p *P) {
			f := p.file("f", "content")
			a, _, err := proto.IOMap(p.ctx, f)
			p.OK(err, "io_map")
			p.keep(a)
			b, _, err := proto.IOMap(p.ctx, p.lookup(p.dir, "f", proto.O_RDWR))
			p.OK(err, "io_map")
			Equal(p.T, p.keep(b), a, "the object of another open")
		}),
		protocolNeeds(Mapping, "io_map/nothing", func(p *P) {
			p.file("f", "content")
			r, w, err := proto.IOMap(p.ctx, p.lookup(p.dir, "f", 0))
			p.keep(r)
			p.keep(w)
			if err == nil && (r.Valid() || w.Valid()) {
				p.Errorf("objects come with a port opened for nothing")
			}
		}),
		protocol("io_map/directory", func(p *P) {
			r, w, err := proto.IOMap(p.ctx, p.dir)
			p.keep(r)
			p.keep(w)
			if err == nil {
				p.Errorf("a directory can be mapped")
			}
		}),
		protocol("io_revoke/others", func(p *P) {
			f := p.file("f", "content")
			g := p.lookup(p.dir, "f", proto.O_READ)
			p.Code(proto.IORevoke(p.ctx, p.as(f, 2001, 2001)), "io_revoke by a stranger", proto.EPERM, proto.EOPNOTSUPP, mach.MigBadID)
			p.Optional(proto.IORevoke(p.ctx, f), "io_revoke")
			_, err := proto.IORead(p.ctx, g, 0, 10)
			if err == nil {
				p.Errorf("a port can be used after io_revoke")
			}
		}),
	}
}

func authProtocol() []Case {
	// A user whose number is a file's group, and who is in it, is its owner, too:
	// these differ.
	const uid, gid = 2001, 2102
	return []Case{
		protocol("io_restrict_auth/shares-the-open", func(p *P) {
			f := p.file("f", "0123456789")
			g := p.as(f, uid, gid)
			p.same(f, g, "the restricted port")
			p.read(f, -1, 3)
			Equal(p.T, p.read(g, -1, 3), "345", "what it reads")
		}),
		protocol("io_restrict_auth/may-no-more", func(p *P) {
			f := p.file("f", "")
			g := p.as(f, uid, gid)
			p.Code(proto.FileChmod(p.ctx, g, 0o777), "file_chmod", proto.EPERM)
			p.Code(proto.FileChown(p.ctx, g, uid, gid), "file_chown", proto.EPERM)
			p.Code(proto.FileUtimens(p.ctx, g, proto.Timespec{Sec: 1}, proto.Timespec{Sec: 1}), "file_utimens", proto.EPERM)
		}),
		protocol("io_restrict_auth/is-its-user", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileChown(p.ctx, f, uid, gid), "file_chown")
			p.OK(proto.FileChmod(p.ctx, p.as(f, uid, gid), 0o600), "file_chmod")
			p.Code(proto.FileChmod(p.ctx, p.as(f, uid+1, gid), 0o600), "file_chmod by another", proto.EPERM)
		}),
		protocol("io_restrict_auth/no-way-back", func(p *P) {
			g := p.as(p.as(p.file("f", ""), uid, gid), 0, 0)
			p.Code(proto.FileChmod(p.ctx, g, 0o777), "file_chmod", proto.EPERM)
		}),
		protocol("io_restrict_auth/nobody", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileChmod(p.ctx, f, 0o777), "file_chmod")
			nobody := p.keep(must[mach.Port](p, "io_restrict_auth")(proto.IORestrictAuth(p.ctx, f, nil, nil)))
			p.Code(proto.FileChmod(p.ctx, nobody, 0o600), "file_chmod", proto.EPERM)
		}),
		protocol("io_restrict_auth/look-ups-are-by-its-user", func(p *P) {
			f := p.file("f", "content")
			dir := p.as(p.dir, uid, gid)
			p.lookup(dir, "f", proto.O_READ)
			p.fails(dir, "f", proto.O_WRITE, proto.EACCES)
			p.fails(dir, "new", proto.O_WRITE|proto.O_CREAT, proto.EACCES)
			p.OK(proto.FileChmod(p.ctx, f, 0o600), "file_chmod")
			p.fails(dir, "f", proto.O_READ, proto.EACCES)
			p.lookup(dir, "f", 0)
		}),
		protocol("io_restrict_auth/groups", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileChown(p.ctx, f, 1, 7), "file_chown")
			p.OK(proto.FileChmod(p.ctx, f, 0o640), "file_chmod")
			p.lookup(p.as(p.dir, uid, gid, 7), "f", proto.O_READ)
			p.fails(p.as(p.dir, uid, gid), "f", proto.O_READ, proto.EACCES)
		}),
		protocol("io_restrict_auth/many-ids", func(p *P) {
			ids := make([]int32, 100)
			for i := range ids {
				ids[i] = int32(3000 + i)
			}
			ids[99] = uid
			f := p.file("f", "")
			p.OK(proto.FileChown(p.ctx, f, uid, gid), "file_chown")
			g := p.keep(must[mach.Port](p, "io_restrict_auth")(proto.IORestrictAuth(p.ctx, f, ids, ids)))
			p.OK(proto.FileChmod(p.ctx, g, 0o600), "file_chmod")
		}),
		protocol("io_reauthenticate/as-oneself", func(p *P) {
			if !p.self.Auth.Valid() {
				p.Skipf("no authentication handle")
			}
			f := p.file("f", "0123456789")
			g := p.keep(must[mach.Port](p, "io_reauthenticate")(hurd.Reauthenticate(p.ctx, p.self.Auth, f)))
			p.same(f, g, "the new port")
			p.read(f, -1, 3)
			Equal(p.T, p.read(g, -1, 3), "345", "what it reads, with the same pointer")
			p.OK(proto.FileChmod(p.ctx, g, 0o600), "file_chmod")
		}),
		protocol("io_reauthenticate/gives-rights-back", func(p *P) {
			if !p.self.Auth.Valid() {
				p.Skipf("no authentication handle")
			}
			g := p.as(p.file("f", ""), uid, gid)
			p.Code(proto.FileChmod(p.ctx, g, 0o600), "file_chmod before", proto.EPERM)
			h := p.keep(must[mach.Port](p, "io_reauthenticate")(hurd.Reauthenticate(p.ctx, p.self.Auth, g)))
			p.OK(proto.FileChmod(p.ctx, h, 0o600), "file_chmod after")
		}),
		protocol("io_reauthenticate/as-another", func(p *P) {
			if !p.self.Auth.Valid() {
				p.Skipf("no authentication handle")
			}
			auth := p.keep(must[mach.Port](p, "auth_makeauth")(proto.AuthMakeauth(p.ctx, p.self.Auth, nil, []int32{uid}, []int32{uid, uid}, []int32{gid}, []int32{gid, gid})))
			g := p.keep(must[mach.Port](p, "io_reauthenticate")(hurd.Reauthenticate(p.ctx, auth, p.file("f", ""))))
			p.Code(proto.FileChmod(p.ctx, g, 0o600), "file_chmod", proto.EPERM)
		}),
		protocol("file_check_access/bits", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileChown(p.ctx, f, uid, gid), "file_chown")
			p.OK(proto.FileChmod(p.ctx, f, 0o640), "file_chmod")
			for _, x := range []struct {
				what     string
				uid, gid int32
				want     int32
			}{
				{"owner", uid, gid, proto.O_READ | proto.O_WRITE}, {"group", uid + 1, gid, proto.O_READ}, {"other", uid + 1, gid + 1, 0},
			} {
				got := must[int32](p, "file_check_access")(proto.FileCheckAccess(p.ctx, p.as(f, x.uid, x.gid)))
				Equal(p.T, got, x.want, "what the %s may", x.what)
			}
			got := must[int32](p, "file_check_access")(proto.FileCheckAccess(p.ctx, f))
			Equal(p.T, got, proto.O_READ|proto.O_WRITE, "what root may")
		}),
	}
}

func fileProtocol() []Case {
	return []Case{
		protocol("file_statfs/fields", func(p *P) {
			f := p.file("f", "")
			st := must[proto.Statfs](p, "file_statfs")(proto.FileStatfs(p.ctx, f))
			if st.Bsize <= 0 || st.Bfree > st.Blocks || st.Bavail > st.Bfree || st.Ffree > st.Files {
				p.Errorf("nonsense: %+v", st)
			}
			Equal(p.T, st.FSID, p.stat(f).FSID, "number of the file system")
			if st.Namelen < 255 {
				p.Errorf("names have %d bytes", st.Namelen)
			}
		}),
		protocol("file_statfs/less-room-when-written", func(p *P) {
			f := p.file("f", "")
			before := must[proto.Statfs](p, "file_statfs")(proto.FileStatfs(p.ctx, f))
			p.write(f, 0, string(pattern(200_000)))
			p.OK(proto.FileSync(p.ctx, f, 1, 0), "file_sync")
			after := must[proto.Statfs](p, "file_statfs")(proto.FileStatfs(p.ctx, f))
			if before.Blocks != 0 && after.Bfree >= before.Bfree {
				p.Errorf("%d blocks were free before, %d after", before.Bfree, after.Bfree)
			}
		}),
		protocol("file_set_size/negative-by-protocol", func(p *P) {
			p.Code(proto.FileSetSize(p.ctx, p.file("f", "abc"), -5), "file_set_size", proto.EINVAL)
		}),
		protocol("file_set_size/enormous", func(p *P) {
			f := p.file("f", "abc")
			err := proto.FileSetSize(p.ctx, f, 1<<63-1)
			p.Code(err, "file_set_size", 0, proto.EFBIG, proto.EINVAL, proto.ENOSPC, proto.EOVERFLOW)
			if err == nil {
				p.OK(proto.FileSetSize(p.ctx, f, 3), "file_set_size")
			}
			Equal(p.T, p.read(f, 0, 10), "abc", "content")
		}),
		protocol("file_utimes/microseconds", func(p *P) {
			f := p.file("f", "")
			p.Optional(proto.FileUtimes(p.ctx, f, proto.Timeval{Sec: 3, Usec: 5}, proto.Timeval{Sec: 4, Usec: 6}), "file_utimes")
			st := p.stat(f)
			Equal(p.T, st.Atime, proto.Timespec{Sec: 3, Nsec: 5000}, "atime")
			Equal(p.T, st.Mtime, proto.Timespec{Sec: 4, Nsec: 6000}, "mtime")
		}),
		protocol("file_utimens/now-and-omit", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileUtimens(p.ctx, f, proto.Timespec{Sec: 3}, proto.Timespec{Sec: 4}), "file_utimens")
			p.OK(proto.FileUtimens(p.ctx, f, proto.Timespec{Nsec: proto.UtimeOmit}, proto.Timespec{Nsec: proto.UtimeNow}), "file_utimens")
			st := p.stat(f)
			Equal(p.T, st.Atime.Sec, 3, "atime")
			if d := time.Since(time.Unix(st.Mtime.Sec, 0)); d > time.Minute || d < -time.Minute {
				p.Errorf("mtime is %v from now", d)
			}
		}),
		protocol("file_chmod/only-its-bits", func(p *P) {
			f := p.file("f", "")
			before := p.stat(f).Mode
			err := proto.FileChmod(p.ctx, f, proto.S_IFDIR|proto.S_IPTRANS|proto.S_IATRANS|proto.S_IROOT|0o600)
			p.Code(err, "file_chmod", 0, proto.EINVAL)
			now := p.stat(f).Mode
			Equal(p.T, now&(proto.S_IFMT|proto.S_ITRANS), before&(proto.S_IFMT|proto.S_ITRANS), "type and translators")
		}),
		protocol("file_chauthor/set", func(p *P) {
			f := p.file("f", "")
			p.Optional(proto.FileChauthor(p.ctx, f, 77), "file_chauthor")
			Equal(p.T, p.stat(f).Author, 77, "author")
			p.Code(proto.FileChauthor(p.ctx, p.as(f, 2001, 2001), 78), "file_chauthor by a stranger", proto.EPERM)
		}),
		protocol("file_getcontrol/root-only", func(p *P) {
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			Equal(p.T, c.Valid(), true, "a port comes")
			_, err := proto.FileGetcontrol(p.ctx, p.as(p.dir, 2001, 2001))
			p.Code(err, "file_getcontrol by a stranger", proto.EPERM, proto.EACCES)
		}),
		protocol("fsys_getroot/with-ids", func(p *P) {
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			retry, name, root, err := proto.FsysGetroot(p.ctx, c, proto.Copy(p.dir), []int32{2001}, []int32{2001}, proto.O_READ)
			p.OK(err, "fsys_getroot")
			p.keep(root)
			Equal(p.T, retry, proto.RetryNormal, "retry")
			Equal(p.T, name, "", "name")
			Equal(p.T, p.identity(root).fsid, p.identity(p.dir).fsid, "file system")
			p.Code(proto.FileChmod(p.ctx, root, 0o777), "file_chmod of the root by a stranger", proto.EPERM, proto.EROFS)
		}),
		protocol("fsys_goaway/in-use", func(p *P) {
			// The case has ports of it.
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			p.Code(proto.FsysGoaway(p.ctx, c, 0), "fsys_goaway", proto.EBUSY)
			p.stat(p.dir)
		}),
		protocol("fsys_get_options/begins-with-a-name", func(p *P) {
			argz, err := proto.FileGetFsOptions(p.ctx, p.dir)
			p.Optional(err, "file_get_fs_options")
			if words := hurd.ParseArgz(argz); len(words) == 0 || words[0] == "" || words[0][0] == '-' {
				p.Errorf("the options are %q", argz)
			}
		}),
		protocol("fsys_set_options/nonsense", func(p *P) {
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			p.Code(proto.FsysSetOptions(p.ctx, c, hurd.Argz("--no-such-option-anywhere"), 0), "fsys_set_options", proto.EINVAL, proto.EOPNOTSUPP)
		}),
		protocol("fsys_syncfs/wait", func(p *P) {
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			p.OK(proto.FsysSyncfs(p.ctx, c, 1, 0), "fsys_syncfs")
			p.OK(proto.FileSyncfs(p.ctx, p.dir, 1, 0), "file_syncfs")
		}),
		protocol("file_getfh/and-back", func(p *P) {
			f := p.file("f", "content")
			fh, err := proto.FileGetfh(p.ctx, f)
			p.Optional(err, "file_getfh")
			c := p.keep(must[mach.Port](p, "file_getcontrol")(proto.FileGetcontrol(p.ctx, p.dir)))
			g, err := proto.FsysGetfile(p.ctx, c, []int32{0}, []int32{0}, fh)
			p.Optional(err, "fsys_getfile")
			p.same(f, p.keep(g), "the file by its handle")
			p.OK(proto.DirUnlink(p.ctx, p.dir, "f"), "dir_unlink")
			for _, bad := range [][]byte{nil, []byte("x"), append([]byte{1}, fh...)} {
				g, err := proto.FsysGetfile(p.ctx, c, []int32{0}, []int32{0}, bad)
				p.keep(g)
				p.Code(err, "fsys_getfile of nonsense", proto.EINVAL, proto.ESTALE)
			}
		}),
		protocol("file_reparent/dotdot", func(p *P) {
			a, b := p.mkdir("a"), p.mkdir("b")
			again, err := proto.FileReparent(p.ctx, a, b)
			p.Optional(err, "file_reparent")
			p.keep(again)
			p.same(again, a, "the new port")
			retry, name, port, err := proto.DirLookup(p.ctx, again, "..", 0, 0)
			p.OK(err, "dir_lookup of ..")
			p.keep(port)
			if retry == proto.RetryReauth && p.self.Auth.Valid() {
				port = p.keep(must[mach.Port](p, "io_reauthenticate")(hurd.Reauthenticate(p.ctx, p.self.Auth, port)))
			}
			Equal(p.T, name, "", "name")
			p.same(port, b, "the new parent")
			p.same(p.lookup(a, "..", 0), p.dir, "the old port's parent")
		}),
		protocol("file_reparent/root", func(p *P) {
			a := p.mkdir("a")
			again, err := proto.FileReparent(p.ctx, a, mach.Null)
			p.Optional(err, "file_reparent")
			p.keep(again)
			p.same(p.lookup(again, "..", 0), a, "what is above a shadow root")
			p.same(p.lookup(again, "../../..", 0), a, "what is far above it")
		}),
		protocol("file_get_storage_info/is-consistent", func(p *P) {
			ports, ints, _, _, err := proto.FileGetStorageInfo(p.ctx, p.file("f", "content"))
			p.Optional(err, "file_get_storage_info")
			for _, port := range ports {
				p.keep(port)
			}
			if len(ints) < 6 {
				p.Errorf("%d integers", len(ints))
			}
		}),
		protocolNeeds(Locks, "file_lock_stat/mine-and-others", func(p *P) {
			a := p.file("f", "")
			b := p.lookup(p.dir, "f", proto.O_RDWR)
			stat := func(port mach.Port) [2]int32 {
				mine, other, err := proto.FileLockStat(p.ctx, port)
				p.OK(err, "file_lock_stat")
				return [2]int32{mine, other}
			}
			const un, sh, ex = proto.LOCK_UN, proto.LOCK_SH, proto.LOCK_EX
			Equal(p.T, stat(a), [2]int32{un, un}, "at first")
			p.OK(proto.FileLock(p.ctx, a, ex|proto.LOCK_NB), "file_lock")
			Equal(p.T, stat(a)[0], ex, "mine when I have it")
			Equal(p.T, stat(b), [2]int32{un, ex}, "the other's")
			p.Code(proto.FileLock(p.ctx, b, sh|proto.LOCK_NB), "file_lock by the other", proto.EAGAIN)
			p.OK(proto.FileLock(p.ctx, a, sh|proto.LOCK_NB), "file_lock")
			p.OK(proto.FileLock(p.ctx, b, sh|proto.LOCK_NB), "file_lock by the other")
			Equal(p.T, stat(a)[0], sh, "mine when it is shared")
		}),
		protocolNeeds(Locks, "file_record_lock/of-two-opens", func(p *P) {
			a := p.file("f", "0123456789")
			b := p.lookup(p.dir, "f", proto.O_RDWR)
			lock := func(port mach.Port, cmd, typ int32, start, n int64) (proto.Flock, error) {
				return proto.FileRecordLock(p.ctx, port, cmd, proto.Flock{Type: typ, Start: start, Len: n}, proto.Right{})
			}
			_, err := lock(a, proto.F_SETLK, proto.F_WRLCK, 2, 3)
			p.OK(err, "file_record_lock")
			_, err = lock(b, proto.F_SETLK, proto.F_WRLCK, 4, 1)
			p.Code(err, "the other's lock", proto.EAGAIN, proto.EACCES)
			got, err := lock(b, proto.F_GETLK, proto.F_WRLCK, 0, 0)
			p.OK(err, "F_GETLK")
			Equal(p.T, got.Type, proto.F_WRLCK, "type")
			Equal(p.T, [2]int64{got.Start, got.Len}, [2]int64{2, 3}, "range")
			_, err = lock(a, 99, proto.F_WRLCK, 0, 0)
			p.Code(err, "an unknown command", proto.EINVAL)
		}),
		protocolNeeds(Locks, "file_record_lock/waits-until-interrupted", func(p *P) {
			a := p.file("f", "0123456789")
			b := p.lookup(p.dir, "f", proto.O_RDWR)
			whole := proto.Flock{Type: proto.F_WRLCK}
			_, err := proto.FileRecordLock(p.ctx, a, proto.F_SETLK, whole, proto.Right{})
			p.OK(err, "file_record_lock")
			p.interrupted(b, "the other's lock", func(ctx context.Context) error {
				_, err := proto.FileRecordLock(ctx, b, proto.F_SETLKW, whole, proto.Right{})
				return err
			})
			_, err = proto.FileRecordLock(p.ctx, a, proto.F_SETLK, proto.Flock{Type: proto.F_UNLCK}, proto.Right{})
			p.OK(err, "unlocking")
			// The one that gave up has not got it after all.
			_, err = proto.FileRecordLock(p.ctx, a, proto.F_SETLK, whole, proto.Right{})
			p.OK(err, "file_record_lock again")
		}),
	}
}

func dirProtocol() []Case {
	var cases []Case
	// A name in these routines is one component.
	for _, x := range []struct {
		name string
		do   func(p *P, name string) error
	}{
		{"dir_mkdir", func(p *P, name string) error { return proto.DirMkdir(p.ctx, p.dir, name, 0o755) }},
		{"dir_unlink", func(p *P, name string) error { return proto.DirUnlink(p.ctx, p.dir, name) }},
		{"dir_rmdir", func(p *P, name string) error { return proto.DirRmdir(p.ctx, p.dir, name) }},
		{"dir_link", func(p *P, name string) error { return proto.DirLink(p.ctx, p.dir, p.lookup(p.dir, "f", 0), name, 1) }},
		{"dir_rename-from", func(p *P, name string) error { return proto.DirRename(p.ctx, p.dir, name, p.dir, "new", 0) }},
		{"dir_rename-to", func(p *P, name string) error { return proto.DirRename(p.ctx, p.dir, "f", p.dir, name, 0) }},
	} {
		routine, way, _ := strings.Cut(x.name, "-")
		for _, bad := range [][2]string{{"empty", ""}, {"dot", "."}, {"dotdot", ".."}, {"two-components", "d/new"}, {"absolute", "/tmp"}} {
			what, name := bad[0], bad[1]
			cases = append(cases, protocol(strings.TrimSuffix(routine+"/name-"+what+"-"+way, "-"), func(p *P) {
				p.file("f", "")
				p.mkdir("d")
				if err := x.do(p, name); err == nil {
					p.Errorf("%s with the name %q succeeds", x.name, name)
				}
				p.lookup(p.dir, "f", 0)
				names := p.names(p.dir)
				Equal(p.T, strings.Join(names, " "), ". .. d f", "names in the directory")
			}))
		}
		cases = append(cases, protocol(strings.TrimSuffix(routine+"/port-of-a-file-"+way, "-"), func(p *P) {
			q := *p
			q.dir = p.file("f", "")
			var err error
			switch routine {
			case "dir_link":
				err = proto.DirLink(p.ctx, q.dir, q.dir, "g", 1)
			default:
				err = x.do(&q, "g")
			}
			p.Code(err, x.name, proto.ENOTDIR, proto.EOPNOTSUPP)
		}))
	}
	return append(cases,
		protocol("dir_mkfile/no-name", func(p *P) {
			f := p.keep(must[mach.Port](p, "dir_mkfile")(proto.DirMkfile(p.ctx, p.dir, proto.O_RDWR, 0o640)))
			st := p.stat(f)
			Equal(p.T, st.Nlink, 0, "links")
			Equal(p.T, st.Mode&(proto.S_IFMT|0o777), proto.S_IFREG|0o640, "mode")
			p.write(f, 0, "content")
			Equal(p.T, p.read(f, 0, 10), "content", "content")
			Equal(p.T, strings.Join(p.names(p.dir), " "), ". ..", "names in the directory")
			p.OK(proto.DirLink(p.ctx, p.dir, f, "f", 1), "dir_link")
			Equal(p.T, p.stat(f).Nlink, 1, "links when it has a name")
			Equal(p.T, p.read(p.lookup(p.dir, "f", proto.O_READ), 0, 10), "content", "content by its name")
		}),
		protocol("dir_mkfile/permission", func(p *P) {
			_, err := proto.DirMkfile(p.ctx, p.as(p.dir, 2001, 2001), proto.O_RDWR, 0o640)
			p.Code(err, "dir_mkfile by a stranger", proto.EACCES)
		}),
		protocol("dir_link/excl", func(p *P) {
			a, b := p.file("a", "a"), p.file("b", "b")
			p.Code(proto.DirLink(p.ctx, p.dir, a, "b", 1), "dir_link with excl", proto.EEXIST)
			p.OK(proto.DirLink(p.ctx, p.dir, a, "b", 0), "dir_link without excl")
			Equal(p.T, p.read(p.lookup(p.dir, "b", proto.O_READ), 0, 10), "a", "content")
			Equal(p.T, p.stat(b).Nlink, 0, "links of what had the name")
			Equal(p.T, p.stat(a).Nlink, 2, "links of what has it")
		}),
		protocol("dir_link/no-file-of-ours", func(p *P) {
			other := p.serve(&proto.UnimplementedIO{}, &proto.UnimplementedFS{})
			p.Code(proto.DirLink(p.ctx, p.dir, other, "x", 1), "dir_link of a port of another server", proto.EXDEV, proto.EINVAL, proto.EOPNOTSUPP)
			p.Code(proto.DirLink(p.ctx, p.dir, mach.Null, "x", 1), "dir_link of null", proto.EXDEV, proto.EINVAL, proto.EOPNOTSUPP, mach.MigBadArguments)
		}),
		protocol("dir_rename/excl", func(p *P) {
			p.file("a", "a")
			p.file("b", "b")
			p.Code(proto.DirRename(p.ctx, p.dir, "a", p.dir, "b", 1), "dir_rename with excl", proto.EEXIST)
			p.OK(proto.DirRename(p.ctx, p.dir, "a", p.dir, "c", 1), "dir_rename with excl to a new name")
			p.OK(proto.DirRename(p.ctx, p.dir, "c", p.dir, "b", 0), "dir_rename without excl")
			Equal(p.T, p.read(p.lookup(p.dir, "b", proto.O_READ), 0, 10), "a", "content")
		}),
		protocol("dir_rename/no-directory-of-ours", func(p *P) {
			f := p.file("f", "")
			other := p.serve(&proto.UnimplementedIO{}, &proto.UnimplementedFS{})
			p.Code(proto.DirRename(p.ctx, p.dir, "f", other, "g", 0), "dir_rename to another server", proto.EXDEV, proto.EINVAL)
			p.Code(proto.DirRename(p.ctx, p.dir, "f", mach.Null, "g", 0), "dir_rename to null", proto.EXDEV, proto.EINVAL, mach.MigBadArguments)
			p.Code(proto.DirRename(p.ctx, p.dir, "f", f, "g", 0), "dir_rename to a file", proto.ENOTDIR)
			p.lookup(p.dir, "f", 0)
		}),
		protocol("dir_readdir/from-an-entry-on", func(p *P) {
			for i := range 20 {
				p.file(fmt.Sprintf("f%02d", i), "")
			}
			all := p.names(p.dir)
			Equal(p.T, len(all), 22, "entries")
			var got []string
			for len(got) < 100 {
				data, n, err := proto.DirReaddir(p.ctx, p.dir, int32(len(got)), 3, 0)
				p.OK(err, "dir_readdir")
				list, err := hurd.ParseDirents(data)
				p.OK(err, "what dir_readdir gives")
				Equal(p.T, int(n), len(list), "amount")
				if n > 3 {
					p.Errorf("%d entries, want at most 3", n)
				}
				if n == 0 {
					break
				}
				for _, e := range list {
					got = append(got, e.Name)
				}
			}
			Equal(p.T, len(got), 22, "entries in steps")
		}),
		protocol("dir_readdir/small-buffer", func(p *P) {
			for i := range 20 {
				p.file(fmt.Sprintf("f%02d", i), "")
			}
			const size = 100
			data, n, err := proto.DirReaddir(p.ctx, p.dir, 0, -1, size)
			p.OK(err, "dir_readdir")
			if len(data) > size || n == 0 || n > 10 {
				p.Errorf("%d bytes, %d entries for a buffer of %d", len(data), n, size)
			}
		}),
		protocol("dir_readdir/beyond-the-end", func(p *P) {
			for _, entry := range []int32{2, 3, 1000, 1<<31 - 1} {
				data, n, err := proto.DirReaddir(p.ctx, p.dir, entry, -1, 0)
				p.OK(err, "dir_readdir from %d on", entry)
				Equal(p.T, [2]int{len(data), int(n)}, [2]int{0, 0}, "bytes and entries from %d on", entry)
			}
		}),
		protocol("dir_readdir/entries", func(p *P) {
			f := p.file("f", "")
			d := p.mkdir("d")
			p.symlink("l", "f")
			data, _, err := proto.DirReaddir(p.ctx, p.dir, 0, -1, 0)
			p.OK(err, "dir_readdir")
			list, err := hurd.ParseDirents(data)
			p.OK(err, "what dir_readdir gives")
			want := map[string]hurd.Dirent{
				"f": {Name: "f", Ino: p.stat(f).Ino, Type: proto.DT_REG}, "d": {Name: "d", Ino: p.stat(d).Ino, Type: proto.DT_DIR},
				"l": {Name: "l", Ino: p.stat(p.lookup(p.dir, "l", proto.O_NOLINK)).Ino, Type: proto.DT_LNK},
				".": {Name: ".", Ino: p.stat(p.dir).Ino, Type: proto.DT_DIR}, "..": {Name: "..", Ino: p.stat(p.lookup(p.dir, "..", 0)).Ino, Type: proto.DT_DIR},
			}
			for _, e := range list {
				w := want[e.Name]
				delete(want, e.Name)
				if e.Type == proto.DT_UNKNOWN {
					w.Type = proto.DT_UNKNOWN // which it may always be
				}
				Equal(p.T, e, w, "entry %q", e.Name)
			}
			Equal(p.T, len(want), 0, "entries that are missing")
		}),
		protocol("io_read/directory-by-protocol", func(p *P) {
			_, err := proto.IORead(p.ctx, p.dir, 0, 100)
			p.Code(err, "io_read", proto.EISDIR, proto.EINVAL)
			_, err = proto.IOWrite(p.ctx, p.dir, []byte("x"), 0)
			p.Code(err, "io_write", proto.EISDIR, proto.EBADF)
		}),
		protocol("dir_unlink/directory-by-protocol", func(p *P) {
			p.mkdir("d")
			p.Code(proto.DirUnlink(p.ctx, p.dir, "d"), "dir_unlink", proto.EISDIR, proto.EPERM)
			p.file("f", "")
			p.Code(proto.DirRmdir(p.ctx, p.dir, "f"), "dir_rmdir", proto.ENOTDIR)
		}),
	)
}

// names lists a directory, sorted, with the dots.
func (p *P) names(dir mach.Port) []string {
	var names []string
	for {
		data, n, err := proto.DirReaddir(p.ctx, dir, int32(len(names)), -1, 0)
		p.OK(err, "dir_readdir")
		list, err := hurd.ParseDirents(data)
		p.OK(err, "what dir_readdir gives")
		if n == 0 || len(list) == 0 {
			return sorted(names)
		}
		for _, e := range list {
			names = append(names, e.Name)
		}
	}
}

// An inertTranslator is the control port of a translator that does nothing by
// itself. Its file has the name that was looked up behind it, if any.
type inertTranslator struct {
	proto.UnimplementedFsys
	file mach.Port // what it shows; borrowed, and given out by copies
	ctx  context.Context
	copy func(mach.Port) (mach.Port, error)

	mu      sync.Mutex
	asked   int
	uids    []int32
	flags   int32
	dotdot  bool
	goaways []int32
	busy    error // what fsys_goaway says
}

func (i *inertTranslator) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	i.uids, i.flags, i.dotdot = uids, flags, dotdot.Valid()
	port, err := i.copy(i.file)
	if err == nil {
		proto.Release(i.ctx, dotdot)
	}
	return proto.RetryNormal, "", port, err
}

func (i *inertTranslator) FsysGoaway(_ context.Context, flags int32) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.goaways = append(i.goaways, flags)
	return i.busy
}

func (i *inertTranslator) count() (asked, goaways int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked, len(i.goaways)
}

func translatorProtocol() []Case {
	const set, excl, orphan = proto.FS_TRANS_SET, proto.FS_TRANS_EXCL, proto.FS_TRANS_ORPHAN
	passive := func(p *P, node mach.Port, flags int32, argv ...string) error {
		return proto.FileSetTranslator(p.ctx, node, flags, 0, 0, hurd.Argz(argv...), proto.Right{})
	}
	active := func(p *P, node mach.Port, flags, goaway int32, control mach.Port) error {
		return proto.FileSetTranslator(p.ctx, node, 0, flags, goaway, nil, proto.Copy(control))
	}
	// begin makes a node and a translator for it, which shows another file.
	begin := func(p *P) (node, control mach.Port, i *inertTranslator) {
		p.file("n", "below")
		shown := p.file("shown", "above")
		node = p.lookup(p.dir, "n", proto.O_NOTRANS)
		i = &inertTranslator{file: shown, ctx: p.ctx, copy: func(f mach.Port) (mach.Port, error) { return proto.IODuplicate(p.ctx, f) }}
		control = p.serve(i)
		p.Cleanup(func() {
			// So that nothing is busy when the case's files are removed.
			_ = proto.FileSetTranslator(context.WithoutCancel(p.ctx), node, 0, set|orphan, 0, nil, proto.Right{})
		})
		return node, control, i
	}
	content := func(p *P, name string, flags int32) string {
		return p.read(p.lookup(p.dir, name, proto.O_READ|flags), 0, 100)
	}
	cases := []Case{
		protocol("file_set_translator/passive", func(p *P) {
			f := p.file("f", "content")
			_, err := proto.FileGetTranslator(p.ctx, f)
			p.Code(err, "file_get_translator without one", proto.EINVAL)
			p.OK(passive(p, f, set, "/no/such/program", "a b", ""), "file_set_translator")
			got := must[[]byte](p, "file_get_translator")(proto.FileGetTranslator(p.ctx, f))
			Equal(p.T, string(got), "/no/such/program\x00a b\x00\x00", "what is recorded")
			node := p.lookup(p.dir, "f", proto.O_READ|proto.O_NOTRANS)
			Equal(p.T, p.stat(node).Mode&proto.S_ITRANS, proto.S_IPTRANS, "bits of the mode")
			Equal(p.T, p.read(node, 0, 100), "content", "what is below")
			p.OK(passive(p, node, set), "clearing")
			_, err = proto.FileGetTranslator(p.ctx, f)
			p.Code(err, "file_get_translator when cleared", proto.EINVAL)
			Equal(p.T, p.stat(node).Mode&proto.S_ITRANS, 0, "bits of the mode when cleared")
			Equal(p.T, content(p, "f", 0), "content", "content")
		}),
		protocol("file_set_translator/passive-excl", func(p *P) {
			f := p.file("f", "")
			p.OK(passive(p, f, set|excl, "/hurd/a"), "file_set_translator")
			p.Code(passive(p, f, set|excl, "/hurd/b"), "file_set_translator with EXCL", proto.EBUSY)
			p.OK(passive(p, f, set, "/hurd/c"), "file_set_translator without")
			got := must[[]byte](p, "file_get_translator")(proto.FileGetTranslator(p.ctx, f))
			Equal(p.T, string(got), "/hurd/c\x00", "what is recorded")
		}),
		protocol("file_set_translator/nothing-to-set", func(p *P) {
			f := p.file("f", "")
			p.OK(passive(p, f, 0, "/hurd/a"), "file_set_translator without SET")
			_, err := proto.FileGetTranslator(p.ctx, f)
			p.Code(err, "file_get_translator", proto.EINVAL)
		}),
		protocol("file_set_translator/by-others", func(p *P) {
			f := p.file("f", "")
			p.OK(proto.FileChmod(p.ctx, f, 0o666), "file_chmod")
			p.Code(passive(p, p.as(f, 2001, 2001), set, "/hurd/a"), "file_set_translator by a stranger", proto.EPERM)
			p.OK(proto.FileChown(p.ctx, f, 2001, 2001), "file_chown")
			p.OK(passive(p, p.as(f, 2001, 2001), set, "/hurd/a"), "file_set_translator by the owner")
		}),
		protocol("file_set_translator/passive-of-a-directory", func(p *P) {
			d := p.mkdir("d")
			p.file("d/f", "")
			p.OK(passive(p, d, set, "/no/such/program"), "file_set_translator")
			Equal(p.T, strings.Join(p.names(p.lookup(p.dir, "d", proto.O_READ|proto.O_NOTRANS)), " "), ". .. f", "names below")
			p.OK(passive(p, d, set), "clearing")
		}),
		protocol("file_set_translator/long-record", func(p *P) {
			f := p.file("f", "")
			arg := strings.Repeat("x", 3000)
			p.OK(passive(p, f, set, "/hurd/a", arg), "file_set_translator")
			got := must[[]byte](p, "file_get_translator")(proto.FileGetTranslator(p.ctx, f))
			Equal(p.T, string(got), "/hurd/a\x00"+arg+"\x00", "what is recorded")
		}),
		protocol("file_set_translator/enormous-record", func(p *P) {
			f := p.file("f", "")
			err := passive(p, f, set, "/hurd/a", strings.Repeat("x", 1<<20))
			if err == nil {
				p.Skipf("the server takes a record of 1 MB")
			}
			_, err = proto.FileGetTranslator(p.ctx, f)
			p.Code(err, "file_get_translator", proto.EINVAL)
		}),
		protocolNeeds(Translators, "file_set_translator/active", func(p *P) {
			node, control, i := begin(p)
			p.OK(active(p, node, set|excl, 0, control), "file_set_translator")
			Equal(p.T, content(p, "n", 0), "above", "what the translator shows")
			Equal(p.T, content(p, "n", proto.O_NOTRANS), "below", "what is below")
			Equal(p.T, p.stat(p.lookup(p.dir, "n", proto.O_NOTRANS)).Mode&proto.S_IATRANS, proto.S_IATRANS, "bit of the mode")
			i.mu.Lock()
			defer i.mu.Unlock()
			Equal(p.T, i.asked, 1, "calls of fsys_getroot")
			Equal(p.T, i.dotdot, true, "it gets the directory")
			Equal(p.T, i.flags&proto.O_RDWR, proto.O_READ, "flags it gets")
			if len(i.uids) == 0 || i.uids[0] != 0 {
				p.Errorf("it gets the users %v", i.uids)
			}
		}),
		protocolNeeds(Translators, "file_set_translator/active-excl", func(p *P) {
			node, control, i := begin(p)
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.Code(active(p, node, set|excl, 0, control), "a second with EXCL", proto.EBUSY)
			_, goaways := i.count()
			Equal(p.T, goaways, 0, "calls of fsys_goaway")
			p.Code(proto.FileSetTranslator(p.ctx, node, set, set|excl, 0, hurd.Argz("/hurd/a"), proto.Right{}), "a passive one with EXCL for the active", proto.EBUSY)
			_, err := proto.FileGetTranslator(p.ctx, node)
			p.Code(err, "file_get_translator", proto.EINVAL)
		}),
		protocolNeeds(Translators, "file_set_translator/active-replaced", func(p *P) {
			node, control, i := begin(p)
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			second := &inertTranslator{file: p.file("shown2", "second"), ctx: p.ctx, copy: i.copy}
			p.OK(active(p, node, set, proto.GOAWAY_NOSYNC|proto.GOAWAY_FORCE, p.serve(second)), "a second")
			Equal(p.T, content(p, "n", 0), "second", "what is shown")
			i.mu.Lock()
			defer i.mu.Unlock()
			Equal(p.T, fmt.Sprint(i.goaways), fmt.Sprint([]int32{proto.GOAWAY_NOSYNC | proto.GOAWAY_FORCE}), "calls of fsys_goaway")
		}),
		protocolNeeds(Translators, "file_set_translator/active-that-will-not-go", func(p *P) {
			node, control, i := begin(p)
			i.busy = proto.EBUSY
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.Code(active(p, node, set, 0, mach.Null), "removing it", proto.EBUSY)
			Equal(p.T, content(p, "n", 0), "above", "what is shown")
		}),
		protocolNeeds(Translators, "file_set_translator/active-removed", func(p *P) {
			node, control, i := begin(p)
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.OK(active(p, node, set, 0, mach.Null), "removing it")
			Equal(p.T, content(p, "n", 0), "below", "what is shown")
			asked, goaways := i.count()
			Equal(p.T, [2]int{asked, goaways}, [2]int{0, 1}, "calls of fsys_getroot and fsys_goaway")
		}),
		protocolNeeds(Translators, "file_set_translator/active-orphaned", func(p *P) {
			node, control, i := begin(p)
			i.busy = proto.EBUSY
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.OK(active(p, node, set|orphan, 0, mach.Null), "forgetting it")
			_, goaways := i.count()
			Equal(p.T, goaways, 0, "calls of fsys_goaway")
			Equal(p.T, content(p, "n", 0), "below", "what is shown")
		}),
		protocolNeeds(Translators, "file_set_translator/active-by-others", func(p *P) {
			node, control, _ := begin(p)
			p.Code(active(p, p.as(node, 2001, 2001), set, 0, control), "file_set_translator by a stranger", proto.EPERM)
		}),
		protocolNeeds(Translators, "file_set_translator/active-that-died", func(p *P) {
			node, _, i := begin(p)
			control := must[mach.Port](p, "a port")(p.dying(i))
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			Equal(p.T, content(p, "n", 0), "above", "what is shown")
			p.kill(control)
			Equal(p.T, content(p, "n", 0), "below", "what is shown when it is dead")
			p.soon("the node's mode still has a translator", func() bool {
				return p.stat(node).Mode&proto.S_IATRANS == 0
			})
		}),
		protocolNeeds(Translators, "file_get_translator_cntl/who", func(p *P) {
			node, control, _ := begin(p)
			_, err := proto.FileGetTranslatorCntl(p.ctx, node)
			p.Code(err, "file_get_translator_cntl without one", proto.ENXIO)
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			got := p.keep(must[mach.Port](p, "file_get_translator_cntl")(proto.FileGetTranslatorCntl(p.ctx, node)))
			Equal(p.T, got, control, "the control port")
			_, err = proto.FileGetTranslatorCntl(p.ctx, p.as(node, 2001, 2001))
			p.Code(err, "file_get_translator_cntl by a stranger", proto.EPERM)
		}),
		protocolNeeds(Translators, "dir_lookup/through-a-translator", func(p *P) {
			node, control, i := begin(p)
			d := p.mkdir("d")
			p.file("d/f", "inside")
			i.file = d
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			retry, rest, port, err := proto.DirLookup(p.ctx, p.dir, "n/f", proto.O_READ, 0)
			p.OK(err, "dir_lookup")
			p.keep(port)
			Equal(p.T, retry, proto.RetryNormal, "retry")
			Equal(p.T, rest, "f", "what is left")
			p.same(port, d, "where it goes on")
			// O_NOTRANS is about the last component.
			retry, rest, port, err = proto.DirLookup(p.ctx, p.dir, "n/f", proto.O_READ|proto.O_NOTRANS, 0)
			p.OK(err, "dir_lookup")
			p.keep(port)
			Equal(p.T, fmt.Sprint(retry, rest), fmt.Sprint(proto.RetryNormal, "f"), "retry and rest with O_NOTRANS")
		}),
		protocolNeeds(Translators, "dir_lookup/translator-that-refuses", func(p *P) {
			node, control, i := begin(p)
			i.copy = func(mach.Port) (mach.Port, error) { return mach.Null, proto.EACCES }
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.fails(p.dir, "n", proto.O_READ, proto.EACCES)
		}),
		protocolNeeds(Translators, "dir_rename/node-with-translator", func(p *P) {
			node, control, _ := begin(p)
			p.OK(active(p, node, set, 0, control), "file_set_translator")
			p.OK(proto.DirRename(p.ctx, p.dir, "n", p.dir, "m", 0), "dir_rename")
			Equal(p.T, content(p, "m", 0), "above", "what is shown")
		}),
	}
	for _, x := range []struct {
		name string
		argv []string
		want uint32
	}{
		{"symlink", []string{"/hurd/symlink", "target"}, proto.S_IFLNK},
		{"fifo", []string{"/hurd/fifo"}, proto.S_IFIFO},
		{"chrdev", []string{"/hurd/chrdev", "1", "3"}, proto.S_IFCHR},
		{"blkdev", []string{"/hurd/blkdev", "8", "1"}, proto.S_IFBLK},
		{"ifsock", []string{"/hurd/ifsock"}, proto.S_IFSOCK},
	} {
		cases = append(cases, protocol("file_set_translator/"+x.name+"-is-a-type", func(p *P) {
			p.special("x", x.argv...)
			node := p.lookup(p.dir, "x", proto.O_NOTRANS)
			Equal(p.T, p.stat(node).Mode&proto.S_IFMT, x.want, "type")
			got := must[[]byte](p, "file_get_translator")(proto.FileGetTranslator(p.ctx, node))
			Equal(p.T, string(got), string(hurd.Argz(x.argv...)), "record")
		}))
	}
	return cases
}

// dying makes a port that kill ends.
func (p *P) dying(object any) (mach.Port, error) {
	port, err := p.ports.Export(proto.Handler(object), portOptions)
	if err != nil {
		return mach.Null, err
	}
	right, err := port.Right()
	if err != nil {
		return mach.Null, err
	}
	p.mu.Lock()
	p.closers = append(p.closers, closer{right, port.Close})
	p.mu.Unlock()
	return right, nil
}

func (p *P) kill(port mach.Port) {
	p.mu.Lock()
	list := p.closers
	p.mu.Unlock()
	for _, c := range list {
		if c.port == port {
			c.close()
			// What is left is a dead name, or nothing.
			p.keep(port)
			return
		}
	}
}

// A watcher takes what file_changed and dir_changed tell.
type watcher struct {
	proto.UnimplementedFSNotify
	c chan string
}

func (w *watcher) DirChanged(_ context.Context, tick, change int32, name string) error {
	w.c <- fmt.Sprintf("dir %d %q", change, name)
	return nil
}

func (w *watcher) FileChanged(_ context.Context, tick, change int32, start, end int64) error {
	w.c <- fmt.Sprintf("file %d %d-%d", change, start, end)
	return nil
}

func noticeProtocol() []Case {
	watch := func(p *P, port mach.Port, ask func(context.Context, mach.Port, proto.Right) error, routine string) (next func() string) {
		w := &watcher{c: make(chan string, 100)}
		p.Optional(ask(p.ctx, port, proto.Copy(p.serve(w))), routine)
		return func() string {
			select {
			case s := <-w.c:
				return s
			case <-p.ctx.Done():
				p.Fatalf("no notice comes")
				return ""
			}
		}
	}
	return []Case{
		protocolNeeds(Notices, "file_notice_changes/write", func(p *P) {
			f := p.file("f", "abc")
			next := watch(p, f, proto.FileNoticeChanges, "file_notice_changes")
			Equal(p.T, next(), "file 0 0-0", "first notice")
			p.write(f, 1, "x")
			Equal(p.T, next(), "file 1 1-2", "notice of a write")
			p.OK(proto.FileSetSize(p.ctx, f, 1), "file_set_size")
			if got := next(); !strings.HasPrefix(got, "file 3 ") {
				p.Errorf("notice of a truncation: %s", got)
			}
		}),
		protocolNeeds(Notices, "dir_notice_changes/names", func(p *P) {
			next := watch(p, p.dir, proto.DirNoticeChanges, "dir_notice_changes")
			Equal(p.T, next(), `dir 0 ""`, "first notice")
			p.file("f", "")
			Equal(p.T, next(), `dir 1 "f"`, "notice of a new name")
			p.OK(proto.DirUnlink(p.ctx, p.dir, "f"), "dir_unlink")
			Equal(p.T, next(), `dir 2 "f"`, "notice of a name that is gone")
			p.OK(proto.DirMkdir(p.ctx, p.dir, "d", 0o755), "dir_mkdir")
			Equal(p.T, next(), `dir 1 "d"`, "notice of a new directory")
		}),
		protocol("dir_notice_changes/of-a-file", func(p *P) {
			w := p.serve(&watcher{c: make(chan string, 10)})
			err := proto.DirNoticeChanges(p.ctx, p.file("f", ""), proto.Copy(w))
			p.Code(err, "dir_notice_changes", proto.ENOTDIR, proto.EOPNOTSUPP)
		}),
	}
}

// messageProtocol sends what no client would.
func messageProtocol() []Case {
	send := func(p *P, to mach.Port, id int32, fill func(m *mach.Message)) error {
		m := p.message(id)
		if fill != nil {
			fill(m)
		}
		err := p.call(p.ctx, to, m)
		mach.Destroy(m)
		return err
	}
	bad := []mach.KernReturn{mach.MigBadArguments}
	var cases []Case
	for _, x := range []struct {
		name string
		id   int32
		fill func(m *mach.Message)
		want []mach.KernReturn
	}{
		{"unknown-id", 21999, nil, []mach.KernReturn{mach.MigBadID}},
		{"retired-id", 20032, nil, []mach.KernReturn{mach.MigBadID}},
		{"negative-id", -5, nil, []mach.KernReturn{mach.MigBadID}},
		{"id-of-another-protocol", 22001, func(m *mach.Message) { m.PutInt32(4) }, []mach.KernReturn{proto.EOPNOTSUPP, mach.MigBadID}},
		{"io_read-without-arguments", 21001, nil, bad},
		{"io_read-with-too-many", 21001, func(m *mach.Message) { m.PutInt64(0); m.PutWord(3); m.PutWord(3) }, bad},
		{"io_read-with-another-type", 21001, func(m *mach.Message) { m.PutInt32(0); m.PutInt32(3) }, bad},
		{"io_stat-with-arguments", 21013, func(m *mach.Message) { m.PutInt32(1) }, bad},
		{"io_write-with-integers", 21000, func(m *mach.Message) { m.PutInt32s(1, 2, 3); m.PutInt64(0) }, bad},
		{"dir_lookup-without-a-string", 20018, func(m *mach.Message) { m.PutInt32(0); m.PutInt32(0); m.PutInt32(0) }, bad},
		{"dir_link-with-an-integer", 20023, func(m *mach.Message) { m.PutInt32(1); m.PutString("x", 1024); m.PutInt32(0) }, bad},
		{"file_set_translator-without-a-port", 20027, func(m *mach.Message) {
			m.PutInt32(4)
			m.PutInt32(0)
			m.PutInt32(0)
			m.PutData(mach.Char, []byte("x\x00"))
		}, bad},
	} {
		cases = append(cases, protocol("message/"+x.name, func(p *P) {
			f := p.file("f", "content")
			for _, port := range []mach.Port{f, p.dir} {
				p.Code(send(p, port, x.id, x.fill), "the message", x.want...)
			}
			// Nothing has happened to the server.
			Equal(p.T, p.read(f, 0, 100), "content", "content")
		}))
	}
	return append(cases,
		protocol("message/rights-that-nobody-wants", func(p *P) {
			f := p.file("f", "content")
			for range 100 {
				err := send(p, f, 21013, func(m *mach.Message) {
					m.PutRight(p.dir, mach.CopySend)
					m.PutRight(f, mach.CopySend)
				})
				p.Code(err, "io_stat with rights", bad...)
			}
			Equal(p.T, p.read(f, 0, 100), "content", "content")
		}),
		protocol("message/memory-that-nobody-wants", func(p *P) {
			f := p.file("f", "content")
			data := pattern(1 << 16)
			for range 100 {
				p.Code(send(p, f, 21013, func(m *mach.Message) { m.PutData(mach.Char, data) }), "io_stat with memory", bad...)
			}
			Equal(p.T, p.read(f, 0, 100), "content", "content")
		}),
		protocol("message/flood", func(p *P) {
			// More requests at a time than a server will run.
			f := p.file("f", "content")
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for range 20 {
						if b, err := proto.IORead(p.ctx, f, 0, 100); err != nil && proto.Code(err) != proto.EAGAIN {
							p.Errorf("io_read: %v", err)
						} else if err == nil && string(b) != "content" {
							p.Errorf("io_read: %q", b)
						}
					}
				})
			}
			wg.Wait()
		}),
		protocol("message/dead-port-as-argument", func(p *P) {
			f := p.file("f", "")
			dead := must[mach.Port](p, "a port")(p.dying(&watcher{c: make(chan string, 1)}))
			p.kill(dead)
			err := proto.DirLink(p.ctx, p.dir, dead, "x", 1)
			if err == nil {
				p.Errorf("dir_link of a dead port succeeds")
			}
			err = proto.FileSetTranslator(p.ctx, f, 0, proto.FS_TRANS_SET, 0, nil, proto.Copy(dead))
			p.Code(err, "file_set_translator with a dead port", 0, proto.EINVAL, mach.MigBadArguments, mach.SendInvalidDest, proto.EDIED)
			// Whatever it said, the file is to be reached.
			p.lookup(p.dir, "f", proto.O_READ)
		}),
	)
}
