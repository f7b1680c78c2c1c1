package translator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// open opens a path, which must succeed.
func (w *world) open(p *hurd.Process, path string, flags int32) mach.Port {
	w.t.Helper()
	port, err := p.Lookup(w.ctx, path, flags, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	return port
}

func (w *world) want(what string, err error, want string) {
	w.t.Helper()
	if got := code(err); got != want {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestReadAndWrite(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	root := w.as(translator.Root())
	f := w.open(root, "f", proto.O_RDWR|proto.O_CREAT)
	write := func(p mach.Port, s string, off int64) {
		t.Helper()
		if n, err := proto.IOWrite(ctx, p, []byte(s), off); err != nil || int(n) != len(s) {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	read := func(p mach.Port, off int64, n uint64, want string) {
		t.Helper()
		if b, err := proto.IORead(ctx, p, off, n); err != nil || string(b) != want {
			t.Errorf("read: %q, %v, want %q", b, err, want)
		}
	}
	write(f, "hello, ", -1)
	write(f, "world", -1)
	read(f, -1, 100, "")
	read(f, 0, 5, "hello")
	if at, err := proto.IOSeek(ctx, f, -5, proto.SeekEnd); at != 7 || err != nil {
		t.Errorf("seek: %d, %v", at, err)
	}
	if n, err := proto.IOReadable(ctx, f); n != 5 || err != nil {
		t.Errorf("readable: %d, %v", n, err)
	}
	read(f, -1, 3, "wor")
	dup, err := proto.IODuplicate(ctx, f)
	w.want("duplicate", err, "ok")
	read(dup, -1, 100, "ld") // one file pointer
	_, err = proto.IOSeek(ctx, f, -100, proto.SeekCur)
	w.want("seek before the start", err, "EINVAL")
	_, err = proto.IOSeek(ctx, f, 0, 9)
	w.want("seek from nowhere", err, "EINVAL")
	_, err = proto.IORead(ctx, f, -2, 9)
	w.want("read before the start", err, "EINVAL")

	if err := proto.IOSetSomeOpenmodes(ctx, f, proto.O_APPEND|proto.O_READ); err != nil {
		t.Error(err)
	}
	if m, err := proto.IOGetOpenmodes(ctx, dup); m != proto.O_RDWR|proto.O_APPEND || err != nil {
		t.Errorf("modes: %#x, %v", m, err)
	}
	if _, err := proto.IOSeek(ctx, f, 0, proto.SeekSet); err != nil {
		t.Error(err)
	}
	write(f, "!", -1)
	write(f, "H", 0)
	read(f, 0, 100, "Hello, world!")
	if err := proto.IOClearSomeOpenmodes(ctx, f, proto.O_APPEND); err != nil {
		t.Error(err)
	}
	write(f, strings.Repeat("x", 5000), 20)
	read(f, 12, 10, "!\x00\x00\x00\x00\x00\x00\x00xx")
	read(f, 20, 1<<30, strings.Repeat("x", 5000))
	w.want("set size", proto.FileSetSize(ctx, f, 5), "ok")
	w.want("set a negative size", proto.FileSetSize(ctx, f, -5), "EINVAL")
	read(f, 0, 100, "Hello")

	ro := w.open(root, "f", proto.O_READ)
	_, err = proto.IOWrite(ctx, ro, []byte("x"), 0)
	w.want("write what is open for reading", err, "EBADF")
	w.want("set size of what is open for reading", proto.FileSetSize(ctx, ro, 0), "EBADF")
	wo := w.open(root, "f", proto.O_WRITE)
	_, err = proto.IORead(ctx, wo, 0, 1)
	w.want("read what is open for writing", err, "EBADF")
	dir := w.open(root, "/", proto.O_READ)
	_, err = proto.IORead(ctx, dir, 0, 1)
	w.want("read a directory", err, "EISDIR")

	sel, err := proto.IOSelect(ctx, f, 7)
	if sel != 3 || err != nil {
		t.Errorf("select: %d, %v", sel, err)
	}
	_, _, err = proto.IOMap(ctx, f)
	w.want("map", err, "EOPNOTSUPP")
	id1, fsid1, no1, err := proto.IOIdentity(ctx, f)
	w.want("identity", err, "ok")
	id2, fsid2, no2, err := proto.IOIdentity(ctx, ro)
	w.want("identity", err, "ok")
	id3, fsid3, no3, err := proto.IOIdentity(ctx, dir)
	w.want("identity", err, "ok")
	if id1 != id2 || no1 != no2 || id1 == id3 || no1 == no3 || fsid1 != fsid2 || fsid1 != fsid3 {
		t.Errorf("identities: %v %v %v", id1, id2, id3)
	}
	w.k.Release(f, dup, ro, wo, dir)
	f = w.open(root, "f", 0)
	id4, fsid4, _, _ := proto.IOIdentity(ctx, f)
	if id4 != id1 {
		t.Error("the identity changes while somebody holds it")
	}
	w.k.Release(f, id1, id2, id3, id4, fsid1, fsid2, fsid3, fsid4)
	w.done()
}

func TestUsers(t *testing.T) {
	w := newWorld(t, nil)
	w.tree.add(w.tree.root, "mine", proto.S_IFREG|0o600, 5, 5)
	owner, other := w.as(w.user(5, 6)), w.as(w.user(9))
	f := w.open(owner, "mine", proto.O_READ)
	access := func(p mach.Port, want int32) {
		t.Helper()
		if a, err := proto.FileCheckAccess(w.ctx, p); a != want || err != nil {
			t.Errorf("access %d, %v, want %d", a, err, want)
		}
	}
	access(f, 3)
	g, err := hurd.Reauthenticate(w.ctx, other.Auth, f)
	w.want("reauthenticate", err, "ok")
	access(g, 0)
	w.want("chmod", proto.FileChmod(w.ctx, g, 0o777), "EPERM")
	h, err := hurd.Reauthenticate(w.ctx, owner.Auth, g)
	w.want("reauthenticate", err, "ok")
	access(h, 3)
	r, err := proto.IORestrictAuth(w.ctx, h, []int32{6, 9, 0}, nil)
	w.want("restrict", err, "ok")
	access(r, 0)
	// The port is good for what it was opened for, whoever has it.
	_, err = proto.IORead(w.ctx, r, 0, 1)
	w.want("read", err, "ok")
	w.want("revoke as another", proto.IORevoke(w.ctx, g), "EPERM")
	w.want("revoke", proto.IORevoke(w.ctx, h), "ok")
	_, err = proto.IORead(w.ctx, f, 0, 1)
	w.want("read what was revoked", err, "EBADF")
	_, err = proto.IODuplicate(w.ctx, r)
	w.want("duplicate what was revoked", err, "EBADF")
	_, err = proto.IORead(w.ctx, h, 0, 1)
	w.want("read by who revoked", err, "ok")
	w.k.Release(f, g, h, r)
	w.done()
}

func TestWithoutAuthServer(t *testing.T) {
	w := newWorld(t, nil)
	w.tree.add(w.tree.root, "f", proto.S_IFREG|0o604, 5, 5)
	p := w.as(w.user(9))
	f := w.open(p, "f", proto.O_READ)
	w.fs.SetAuth(mach.Null)
	rendezvous := w.k.NewPort(nil)
	w.want("reauthenticate", proto.IOReauthenticate(w.ctx, f, proto.Copy(rendezvous)), "ok")
	for w.k.Rights(rendezvous) > 1 { // the server is at it, in a goroutine
		time.Sleep(time.Millisecond)
	}
	w.k.Release(rendezvous, f)
	w.fs.SetAuth(w.sys)
	w.done()
}

func TestDirectories(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	tmp := w.tree.add(w.tree.root, "tmp", proto.S_IFDIR|0o1777, 0, 0)
	root, u, v := w.as(translator.Root()), w.as(w.user(5)), w.as(w.user(6))
	rd, ud, vd := w.open(root, "/tmp", 0), w.open(u, "/tmp", 0), w.open(v, "/tmp", 0)
	top := w.open(u, "/", 0)

	w.want("mkdir", proto.DirMkdir(ctx, ud, "a", 0o755), "ok")
	w.want("mkdir again", proto.DirMkdir(ctx, ud, "a", 0o755), "EEXIST")
	w.want("mkdir .", proto.DirMkdir(ctx, ud, ".", 0o755), "EEXIST")
	w.want("mkdir /", proto.DirMkdir(ctx, ud, "b/", 0o700), "ok")
	w.want("mkdir x/y", proto.DirMkdir(ctx, ud, "x/y", 0o700), "EINVAL")
	w.want("mkdir nothing", proto.DirMkdir(ctx, ud, "", 0o700), "ENOENT")
	w.want("mkdir where not", proto.DirMkdir(ctx, top, "x", 0o700), "EACCES")
	w.want("mkdir of what is there, where not", proto.DirMkdir(ctx, top, "tmp", 0o700), "EEXIST")
	w.want("long name", proto.DirMkdir(ctx, ud, strings.Repeat("x", 256), 0o700), "ENAMETOOLONG")
	w.want("longest name", proto.DirMkdir(ctx, ud, strings.Repeat("x", 255), 0o700), "ok")
	w.want("rmdir it", proto.DirRmdir(ctx, ud, strings.Repeat("x", 255)), "ok")
	if st := tmp.names["a"].st; st.UID != 5 || st.GID != 0 || st.Mode&0o7777 != 0o755 {
		t.Errorf("made as %+v", st)
	}

	f := w.open(u, "/tmp/f", proto.O_RDWR|proto.O_CREAT)
	w.want("unlink another's, sticky", proto.DirUnlink(ctx, vd, "f"), "EACCES")
	w.want("rename another's, sticky", proto.DirRename(ctx, vd, "f", vd, "g", 0), "EACCES")
	w.want("unlink a directory", proto.DirUnlink(ctx, ud, "a"), "EISDIR")
	w.want("rmdir a file", proto.DirRmdir(ctx, ud, "f"), "ENOTDIR")
	w.want("rmdir .", proto.DirRmdir(ctx, ud, "."), "EINVAL")
	w.want("rmdir ..", proto.DirRmdir(ctx, ud, ".."), "ENOTEMPTY")
	w.want("unlink nothing", proto.DirUnlink(ctx, ud, "nothing"), "ENOENT")

	w.want("link", proto.DirLink(ctx, ud, f, "g", 1), "ok")
	w.want("link again", proto.DirLink(ctx, ud, f, "g", 1), "EEXIST")
	w.want("link over itself", proto.DirLink(ctx, ud, f, "g", 0), "ok")
	w.want("link a directory", proto.DirLink(ctx, ud, rd, "h", 1), "EISDIR")
	w.want("link from elsewhere", proto.DirLink(ctx, ud, u.Auth, "h", 1), "EXDEV")
	w.want("link over another's", proto.DirLink(ctx, vd, f, "a", 0), "EACCES")

	sub := w.open(u, "/tmp/a", 0)
	w.want("rename", proto.DirRename(ctx, ud, "f", sub, "f", 0), "ok")
	w.want("rename what is gone", proto.DirRename(ctx, ud, "f", sub, "f", 0), "ENOENT")
	w.want("rename, exclusive", proto.DirRename(ctx, ud, "g", sub, "f", 1), "EEXIST")
	w.want("rename over itself", proto.DirRename(ctx, ud, "g", sub, "f", 0), "ok")
	w.want("rename into itself", proto.DirRename(ctx, ud, "a", sub, "a", 0), "EINVAL")
	w.want("rename file/", proto.DirRename(ctx, sub, "f", ud, "f/", 0), "ENOTDIR")
	w.want("rename over a full directory", proto.DirRename(ctx, ud, "b", ud, "a", 0), "ENOTEMPTY")
	w.want("rename to elsewhere", proto.DirRename(ctx, ud, "b", u.Auth, "a", 0), "EXDEV")
	w.want("rename to a file", proto.DirRename(ctx, ud, "b", f, "a", 0), "ENOTDIR")
	w.want("rmdir what is full", proto.DirRmdir(ctx, ud, "a"), "ENOTEMPTY")

	// A file without a name; then with one, then without again.
	n, err := proto.DirMkfile(ctx, ud, proto.O_RDWR, 0o600)
	w.want("mkfile", err, "ok")
	_, err = proto.IOWrite(ctx, n, []byte("anonymous"), 0)
	w.want("write", err, "ok")
	w.want("link", proto.DirLink(ctx, ud, n, "n", 1), "ok")
	w.want("unlink", proto.DirUnlink(ctx, ud, "n"), "ok")
	if b, err := proto.IORead(ctx, n, 0, 100); string(b) != "anonymous" || err != nil {
		t.Errorf("read of an unlinked file: %q, %v", b, err)
	}
	if st, err := proto.IOStat(ctx, n); st.Nlink != 0 || err != nil {
		t.Errorf("links of an unlinked file: %d, %v", st.Nlink, err)
	}
	// In a directory that is gone nothing can be made.
	gone := w.open(u, "/tmp/b", 0)
	w.want("rmdir", proto.DirRmdir(ctx, ud, "b"), "ok")
	w.want("mkdir in what is gone", proto.DirMkdir(ctx, gone, "x", 0o700), "ENOENT")
	w.k.Release(rd, ud, vd, top, f, sub, n, gone)
	w.done()
}

func TestReadDirectory(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	const n = 300
	for i := range n {
		w.tree.add(w.tree.root, fmt.Sprintf("name%03d", i), proto.S_IFREG|0o644, 0, 0)
	}
	p := w.as(translator.Root())
	d := w.open(p, "/", proto.O_READ)
	var names []string
	for {
		b, amount, err := proto.DirReaddir(ctx, d, int32(len(names)), -1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		list, err := hurd.ParseDirents(b)
		if err != nil || len(list) != int(amount) || len(b) > 1000 {
			t.Fatalf("%d entries in %d bytes, %d parsed: %v", amount, len(b), len(list), err)
		}
		if amount == 0 {
			break
		}
		for _, e := range list {
			names = append(names, e.Name)
			if e.Name != "." && e.Name != ".." {
				// What is removed while it is read disturbs nothing.
				w.want("unlink", proto.DirUnlink(ctx, d, e.Name), "ok")
			}
		}
	}
	if len(names) != n+2 || names[0] != "." || names[1] != ".." || names[n+1] != "name299" {
		t.Errorf("%d names: %q", len(names), names)
	}
	if _, amount, err := proto.DirReaddir(ctx, d, 0, -1, 0); amount != 2 || err != nil {
		t.Errorf("an empty directory has %d entries, %v", amount, err)
	}
	w.tree.add(w.tree.root, "x", proto.S_IFDIR|0o755, 0, 0)
	b, amount, err := proto.DirReaddir(ctx, d, 2, -1, 0)
	list, _ := hurd.ParseDirents(b)
	if err != nil || amount != 0 || len(list) != 0 {
		t.Errorf("an entry that came meanwhile: %v, %v", list, err)
	}
	b, _, err = proto.DirReaddir(ctx, d, 0, 3, 0)
	list, _ = hurd.ParseDirents(b)
	if err != nil || len(list) != 3 || list[2].Name != "x" || list[2].Type != proto.DT_DIR {
		t.Errorf("from the start again: %v, %v", list, err)
	}
	_, _, err = proto.DirReaddir(ctx, d, -1, -1, 0)
	w.want("a negative entry", err, "EINVAL")
	_, _, err = proto.DirReaddir(ctx, d, 0, -1, 5)
	w.want("no room", err, "EINVAL")
	f := w.open(p, "f", proto.O_READ|proto.O_CREAT)
	_, _, err = proto.DirReaddir(ctx, f, 0, -1, 0)
	w.want("list a file", err, "ENOTDIR")
	w.k.Release(d, f)
	w.done()
}

func TestLocks(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	p := w.as(translator.Root())
	a := w.open(p, "f", proto.O_RDWR|proto.O_CREAT)
	b := w.open(p, "f", proto.O_RDWR)
	ro := w.open(p, "f", proto.O_READ)
	const ex, sh, un, nb = proto.LOCK_EX, proto.LOCK_SH, proto.LOCK_UN, proto.LOCK_NB
	w.want("shared", proto.FileLock(ctx, a, sh), "ok")
	w.want("shared, too", proto.FileLock(ctx, b, sh|nb), "ok")
	w.want("exclusive", proto.FileLock(ctx, b, ex|nb), "EAGAIN")
	if mine, others, err := proto.FileLockStat(ctx, b); mine != sh || others != sh || err != nil {
		t.Errorf("status %d %d %v", mine, others, err)
	}
	w.want("unlock", proto.FileLock(ctx, a, un), "ok")
	w.want("upgrade", proto.FileLock(ctx, b, ex|nb), "ok")
	w.want("shared", proto.FileLock(ctx, a, sh|nb), "EAGAIN")
	w.want("nonsense", proto.FileLock(ctx, a, sh|ex), "EINVAL")
	_, err := p.Lookup(ctx, "f", proto.O_READ|proto.O_SHLOCK, 0)
	w.want("open with a lock", err, "EAGAIN")

	// A call that waits is interrupted, or gets the lock when it is free.
	short, cancel := context.WithCancelCause(ctx)
	cancel(proto.EINTR)
	w.want("interrupted", proto.FileLock(short, a, ex), "EINTR")
	done := make(chan error)
	go func() { done <- proto.FileLock(ctx, a, ex) }()
	w.k.Release(b) // the last close
	w.want("wait", <-done, "ok")
	w.want("unlock", proto.FileLock(ctx, a, un), "ok")

	b = w.open(p, "f", proto.O_RDWR)
	set := func(p mach.Port, cmd, typ int32, start, n int64) error {
		_, err := proto.FileRecordLock(ctx, p, cmd, proto.Flock{Type: typ, Start: start, Len: n}, proto.Right{})
		return err
	}
	const get, try, rd, wr, off = proto.F_GETLK, proto.F_SETLK, proto.F_RDLCK, proto.F_WRLCK, proto.F_UNLCK
	w.want("write lock", set(a, try, wr, 0, 100), "ok")
	w.want("beside it", set(b, try, wr, 100, 0), "ok")
	w.want("over it", set(b, try, rd, 50, 1), "EAGAIN")
	w.want("hole", set(a, try, off, 40, 20), "ok")
	w.want("in the hole", set(b, try, rd, 50, 1), "ok")
	w.want("write what is open for reading", set(ro, try, wr, 1000, 1), "EBADF")
	w.want("type", set(a, try, 9, 0, 1), "EINVAL")
	w.want("command", set(a, 9, rd, 0, 1), "EINVAL")
	w.want("negative", set(a, try, rd, -5, 1), "EINVAL")
	l, err := proto.FileRecordLock(ctx, b, get, proto.Flock{Type: rd, Start: 0, Len: 1000}, proto.Right{})
	if err != nil || l.Type != wr || l.Start != 0 || l.Len != 40 {
		t.Errorf("lock in the way: %+v, %v", l, err)
	}
	l, err = proto.FileRecordLock(ctx, a, get, proto.Flock{Type: wr, Start: 41, Len: 9}, proto.Right{})
	if err != nil || l.Type != off {
		t.Errorf("no lock in the way: %+v, %v", l, err)
	}
	// What is closed locks nothing, even before the server hears of it.
	var tell []func()
	w.k.Gone = func(f func()) { tell = append(tell, f) }
	w.k.Release(a, b)
	c := w.open(p, "f", proto.O_WRITE|proto.O_EXLOCK)
	w.want("write lock after the close", set(c, try, wr, 0, 0), "ok")
	w.k.Gone = nil
	for _, f := range tell {
		f()
	}
	w.k.Release(ro, c)
	w.done()
}

func TestAttributes(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	f := w.tree.add(w.tree.root, "f", proto.S_IFREG|0o644, 5, 5)
	root, u, v := w.as(translator.Root()), w.as(w.user(5, 7)), w.as(w.user(6))
	rp, up, vp := w.open(root, "f", 0), w.open(u, "f", proto.O_WRITE), w.open(v, "f", 0)
	w.want("chmod", proto.FileChmod(ctx, vp, 0o777), "EPERM")
	w.want("chmod", proto.FileChmod(ctx, up, proto.S_IFDIR|0o7751), "ok")
	if f.st.Mode != proto.S_IFREG|0o6751 {
		t.Errorf("mode %o", f.st.Mode)
	}
	_, err := proto.IOWrite(ctx, up, []byte("x"), 0)
	w.want("write", err, "ok")
	if f.st.Mode != proto.S_IFREG|0o751 {
		t.Errorf("mode after a write %o", f.st.Mode)
	}
	w.want("chmod", proto.FileChmod(ctx, rp, 0o6755), "ok")
	w.want("give away", proto.FileChown(ctx, up, 6, -1), "EPERM")
	w.want("to a strange group", proto.FileChown(ctx, up, -1, 6), "EPERM")
	w.want("to a group", proto.FileChown(ctx, up, -1, 7), "ok")
	if f.st.Mode != proto.S_IFREG|0o755 || f.st.GID != 7 || f.st.UID != 5 {
		t.Errorf("after chown %o %d %d", f.st.Mode, f.st.UID, f.st.GID)
	}
	w.want("chown by root", proto.FileChown(ctx, rp, 6, 6), "ok")
	w.want("chmod by who was the owner", proto.FileChmod(ctx, up, 0o777), "EPERM")
	w.want("chmod by the owner", proto.FileChmod(ctx, vp, 0o600), "ok")
	at := proto.Timespec{Sec: 1000, Nsec: 5}
	w.want("utimens", proto.FileUtimens(ctx, vp, at, proto.Timespec{Nsec: proto.UtimeOmit}), "ok")
	w.want("utimens", proto.FileUtimens(ctx, up, at, at), "EPERM")
	w.want("utimens", proto.FileUtimens(ctx, vp, proto.Timespec{Nsec: 2e9}, at), "EINVAL")
	st, err := proto.IOStat(ctx, vp)
	if err != nil || st.Atime != at || time.Since(time.Unix(st.Mtime.Sec, 0)) > time.Hour {
		t.Errorf("times %+v, %v", st, err)
	}
	w.want("chauthor", proto.FileChauthor(ctx, vp, 9), "ok")
	w.want("chflags", proto.FileChflags(ctx, up, 9), "EPERM")
	_, err = proto.FileGetcontrol(ctx, vp)
	w.want("control", err, "EPERM")
	c, err := proto.FileGetcontrol(ctx, rp)
	w.want("control", err, "ok")
	w.want("goaway", proto.FsysGoaway(ctx, c, 0), "EBUSY")
	if s, err := proto.FileStatfs(ctx, vp); err != nil || s.Namelen != 255 || s.FSID != 7 {
		t.Errorf("statfs %+v, %v", s, err)
	}
	w.want("sync", proto.FileSync(ctx, vp, 1, 0), "ok")
	w.want("syncfs", proto.FileSyncfs(ctx, vp, 1, 1), "ok")
	_, _, _, _, err = proto.FileGetStorageInfo(ctx, vp)
	w.want("storage", err, "EOPNOTSUPP")
	l, err := proto.FileGetlinknode(ctx, vp)
	w.want("linknode", err, "ok")
	if n, err := proto.IOPathconf(ctx, vp, 3); n != 255 || err != nil {
		t.Errorf("NAME_MAX %d, %v", n, err)
	}
	w.k.Release(rp, up, vp, c, l)
	w.done()
}

func TestNotices(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	p := w.as(translator.Root())
	d, f := w.open(p, "/", proto.O_READ), w.open(p, "f", proto.O_RDWR|proto.O_CREAT)
	var heard notices
	port := w.k.NewPort(proto.Handler(&heard))
	w.want("notice", proto.DirNoticeChanges(ctx, d, proto.Copy(port)), "ok")
	w.want("notice", proto.FileNoticeChanges(ctx, f, proto.Copy(port)), "ok")
	w.want("notice", proto.DirNoticeChanges(ctx, f, proto.Copy(port)), "ENOTDIR")
	w.want("notice to nobody", proto.FileNoticeChanges(ctx, f, proto.Right{}), "EINVAL")
	if _, err := proto.IOWrite(ctx, f, []byte("1234"), 0); err != nil {
		t.Error(err)
	}
	w.want("size", proto.FileSetSize(ctx, f, 1), "ok")
	w.want("chmod", proto.FileChmod(ctx, f, 0o600), "ok")
	w.want("mkdir", proto.DirMkdir(ctx, d, "dir", 0o700), "ok")
	w.want("rename", proto.DirRename(ctx, d, "dir", d, "dir2", 0), "ok")
	w.want("rmdir", proto.DirRmdir(ctx, d, "dir2"), "ok")
	g := w.open(p, "g", proto.O_CREAT)
	want := "dir 0 0 ; file 0 0 0-0; file 1 2 0-4; file 2 3 1-4; file 3 4 0-0; dir 1 1 dir; dir 2 2 dir; dir 3 1 dir2; dir 4 2 dir2; dir 5 1 g"
	if got := strings.Join(heard.list, "; "); got != want {
		t.Errorf("heard %s\n want %s", got, want)
	}
	w.k.Kill(port)
	w.want("chmod", proto.FileChmod(ctx, f, 0o600), "ok")
	w.want("unlink", proto.DirUnlink(ctx, d, "g"), "ok")
	w.k.Release(d, f, g)
	w.done()
}

type notices struct{ list []string }

func (n *notices) DirChanged(_ context.Context, tick, change int32, name string) error {
	n.list = append(n.list, fmt.Sprint("dir ", tick, " ", change, " ", name))
	return nil
}

func (n *notices) FileChanged(_ context.Context, tick, change int32, start, end int64) error {
	n.list = append(n.list, fmt.Sprint("file ", tick, " ", change, " ", start, "-", end))
	return nil
}

func TestShadowRoot(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	jail := w.tree.add(w.tree.root, "jail", proto.S_IFDIR|0o755, 0, 0)
	w.tree.add(jail, "cell", proto.S_IFDIR|0o755, 0, 0)
	p := w.as(translator.Root())
	d := w.open(p, "/jail", 0)
	closed, err := proto.FileReparent(ctx, d, mach.Null)
	w.want("reparent", err, "ok")
	in := &hurd.Process{Root: closed, CWD: closed, Auth: p.Auth}
	x := w.open(in, "/../../cell/../..", 0)
	if st, err := proto.IOStat(ctx, x); err != nil || st.Ino != 2 {
		t.Errorf("out of the jail to %d, %v", st.Ino, err)
	}
	above := w.open(p, "/", 0)
	open, err := proto.FileReparent(ctx, d, above)
	w.want("reparent", err, "ok")
	out := &hurd.Process{Root: open, CWD: open, Auth: p.Auth}
	y := w.open(out, "cell/../..", 0)
	if st, err := proto.IOStat(ctx, y); err != nil || st.Ino != 1 || st.Mode&proto.S_IROOT == 0 {
		t.Errorf("above the shadow root is %d, %v", st.Ino, err)
	}
	w.k.Release(d, closed, x, above, open, y)
	w.done()
}

func TestReadOnly(t *testing.T) {
	w := newWorld(t, func(c *translator.Config) { c.ReadOnly = true })
	ctx := w.ctx
	w.tree.add(w.tree.root, "f", proto.S_IFREG|0o644, 0, 0)
	p := w.as(translator.Root())
	f, d := w.open(p, "f", proto.O_READ), w.open(p, "/", 0)
	_, err := p.Lookup(ctx, "f", proto.O_WRITE, 0)
	w.want("open", err, "EROFS")
	_, err = p.Lookup(ctx, "g", proto.O_CREAT, 0)
	w.want("create", err, "EROFS")
	w.want("mkdir", proto.DirMkdir(ctx, d, "x", 0o700), "EROFS")
	w.want("unlink", proto.DirUnlink(ctx, d, "f"), "EROFS")
	w.want("rename", proto.DirRename(ctx, d, "f", d, "g", 0), "EROFS")
	w.want("link", proto.DirLink(ctx, d, f, "g", 0), "EROFS")
	w.want("chmod", proto.FileChmod(ctx, f, 0o700), "EROFS")
	w.want("translator", proto.FileSetTranslator(ctx, f, proto.FS_TRANS_SET, 0, 0, hurd.Argz("/hurd/x"), proto.Right{}), "EROFS")
	w.k.Release(f, d)
	w.done()
}

func TestExportFails(t *testing.T) {
	w := newWorld(t, nil)
	ctx := w.ctx
	p := w.as(translator.Root())
	f, d := w.open(p, "f", proto.O_READ|proto.O_CREAT), w.open(p, "/", 0)
	w.k.Fail = proto.ENFILE
	fail := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, proto.ENFILE) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := p.Lookup(ctx, "f", proto.O_READ, 0)
	fail("lookup", err)
	_, err = proto.IODuplicate(ctx, f)
	fail("duplicate", err)
	_, err = proto.IORestrictAuth(ctx, f, nil, nil)
	fail("restrict", err)
	_, _, _, err = proto.IOIdentity(ctx, f)
	fail("identity", err)
	_, err = proto.DirMkfile(ctx, d, 0, 0o600)
	fail("mkfile", err)
	_, err = proto.FileReparent(ctx, d, f)
	fail("reparent", err)
	_, err = proto.FileGetcontrol(ctx, d)
	fail("control", err)
	w.k.Fail = nil
	w.k.Release(f, d)
	w.done()
}

// TestMaxOfUser: one user cannot have everything open, not by any way to
// ports, and all of them cannot, and root can.
func TestMaxOfUser(t *testing.T) {
	const each, all = 10, 25
	w := newWorld(t, func(c *translator.Config) { c.MaxOfUser, c.MaxOfUsers = each, all })
	ctx := w.ctx
	w.tree.add(w.tree.root, "f", proto.S_IFREG|0o644, 0, 0)
	// fill makes as many ports as it can get, which have to be n.
	fill := func(who *hurd.Process, n int, last error) (list []mach.Port) {
		t.Helper()
		for i := 0; ; i++ {
			var f mach.Port
			var err error
			switch {
			case i%3 == 1 && len(list) > 0:
				f, err = proto.IODuplicate(ctx, list[0])
			case i%3 == 2 && len(list) > 0:
				f, err = proto.IORestrictAuth(ctx, list[0], []int32{1, 2, 3}, []int32{1, 2, 3})
			default:
				f, err = who.Lookup(ctx, "f", proto.O_READ, 0)
			}
			if err != nil {
				if !errors.Is(err, last) || len(list) != n {
					t.Errorf("%d ports and then %v; want %d and %v", len(list), err, n, last)
				}
				return list
			}
			if list = append(list, f); len(list) > all {
				t.Fatal("no bound")
			}
		}
	}
	root, one, two, three := w.as(translator.Root()), w.as(w.user(1)), w.as(w.user(2)), w.as(w.user(3))
	a := fill(one, each-1, proto.EMFILE) // and the root directory
	// A port of root's becomes the user's only if that has one to spare.
	reauthenticate := func() error {
		f := w.open(root, "f", proto.O_READ)
		defer w.k.Release(f)
		mine, err := hurd.Reauthenticate(ctx, one.Auth, f)
		if err == nil {
			_, err = proto.IOStat(ctx, mine)
			w.k.Release(mine)
		}
		return err
	}
	if err := reauthenticate(); !errors.Is(err, mach.SendInvalidDest) && !errors.Is(err, proto.EMFILE) && !errors.Is(err, proto.EINTR) {
		t.Errorf("reauthenticate beyond: %v", err)
	}
	b := fill(two, each-1, proto.EMFILE)
	c := fill(three, all-2*each-1, proto.ENFILE)
	w.k.Release(w.open(root, "f", proto.O_READ))
	w.k.Release(a[0])
	w.k.Release(w.open(one, "f", proto.O_READ))
	if err := reauthenticate(); err != nil {
		t.Errorf("reauthenticate with one to spare: %v", err)
	}
	w.k.Release(a[1:]...)
	w.k.Release(b...)
	w.k.Release(c...)
	// All can be had again, when the server of io_reauthenticate has given
	// back its own right, which is after the answer.
	a = nil
	for end := time.Now().Add(5 * time.Second); len(a) < each-1; {
		f, err := one.Lookup(ctx, "f", proto.O_READ, 0)
		if err == nil {
			a = append(a, f)
		} else if !errors.Is(err, proto.EMFILE) || time.Now().After(end) {
			t.Fatalf("%d ports and then %v", len(a), err)
		}
	}
	w.k.Release(a...)
	w.done()
}
