package translator_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A monkey calls routines with arguments of no sense. Whatever it does, no
// right and no reference may be lost, and nothing may be given back twice.
type monkey struct {
	w     *world
	r     *rand.Rand
	users []*hurd.Process
	held  []mach.Port // rights that it has
}

var monkeyNames = []string{"a", "b", "c", "a/b", "a/b/c", "..", ".", "/", "", "a/", "b/../a", "l", "l/a", "x/y", "\x00", strings.Repeat("n", 300)}

func (m *monkey) name() string { return monkeyNames[m.r.IntN(len(monkeyNames))] }
func (m *monkey) int() int32   { return []int32{-1, 0, 1, 2, 3, 4, 7, 100, 1 << 30}[m.r.IntN(9)] }
func (m *monkey) port() mach.Port {
	switch m.r.IntN(12) {
	case 0:
		return mach.Null
	case 1:
		return m.users[0].Auth
	case 2:
		return m.users[0].Root
	}
	return m.held[m.r.IntN(len(m.held))]
}

func (m *monkey) flags() int32 {
	return m.r.Int32N(0x1000) | m.r.Int32N(2)*proto.O_SHLOCK | m.r.Int32N(2)*proto.O_EXLOCK
}

// keep keeps a right.
func (m *monkey) keep(ports ...mach.Port) {
	for _, p := range ports {
		if p.Valid() {
			m.held = append(m.held, p)
		}
	}
}

func (m *monkey) step(ctx context.Context) {
	if len(m.held) > 40 {
		i := m.r.IntN(len(m.held)-4) + 4
		m.w.k.Release(m.held[i])
		m.held[i] = m.held[len(m.held)-1]
		m.held = m.held[:len(m.held)-1]
	}
	to := m.port()
	u := m.users[m.r.IntN(len(m.users))]
	ids := []int32{m.int(), m.int()}
	right := proto.Copy(m.port())
	if right.Port == mach.Null {
		right = proto.Right{}
	}
	switch m.r.IntN(40) {
	case 0, 1, 2, 3, 4, 5:
		_, _, p, _ := proto.DirLookup(ctx, to, m.name(), m.flags(), m.r.Int32())
		m.keep(p)
	case 6, 7:
		p, err := u.Lookup(ctx, m.name(), m.flags(), m.r.Int32N(0o1000))
		if err == nil {
			m.keep(p)
		}
	case 8:
		_ = proto.DirMkdir(ctx, to, m.name(), m.r.Int32())
	case 9:
		_ = proto.DirRmdir(ctx, to, m.name())
	case 10:
		_ = proto.DirUnlink(ctx, to, m.name())
	case 11:
		_ = proto.DirLink(ctx, to, m.port(), m.name(), m.r.Int32N(2))
	case 12, 13:
		_ = proto.DirRename(ctx, to, m.name(), m.port(), m.name(), m.r.Int32N(2))
	case 14:
		p, _ := proto.DirMkfile(ctx, to, m.flags(), m.r.Int32())
		m.keep(p)
	case 15:
		argz := hurd.Argz([]string{"/hurd/symlink", "/hurd/fifo", "/hurd/chrdev", "/hurd/none", ""}[m.r.IntN(5)], m.name(), "7")
		_ = proto.FileSetTranslator(ctx, to, m.r.Int32N(8), 0, m.int(), argz, right)
	case 16:
		_, _ = proto.FileGetTranslator(ctx, to)
	case 17:
		p, _ := proto.FileReparent(ctx, to, m.port())
		m.keep(p)
	case 18:
		p, _ := proto.IODuplicate(ctx, to)
		m.keep(p)
	case 19:
		p, _ := proto.IORestrictAuth(ctx, to, ids, ids)
		m.keep(p)
	case 20:
		if to != mach.Null && m.r.IntN(10) == 0 {
			// What cannot reauthenticate never comes to the rendezvous.
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			p, err := hurd.Reauthenticate(short, u.Auth, to)
			cancel()
			if err == nil {
				m.keep(p)
			}
		}
	case 21:
		a, b, _, err := proto.IOIdentity(ctx, to)
		if err == nil {
			m.w.k.Release(a, b)
		}
	case 22:
		_, _ = proto.IORead(ctx, to, int64(m.int()), uint64(m.r.IntN(5000)))
	case 23:
		_, _ = proto.IOWrite(ctx, to, make([]byte, m.r.IntN(3000)), int64(m.r.IntN(10000))-1)
	case 24:
		_, _ = proto.IOSeek(ctx, to, int64(m.int()), m.r.Int32N(4))
	case 25:
		_ = proto.FileSetSize(ctx, to, int64(m.r.IntN(5000)))
	case 26:
		_, _, _ = proto.DirReaddir(ctx, to, m.r.Int32N(8)-1, m.r.Int32N(5)-1, uint64(m.r.IntN(100)))
	case 27:
		_ = proto.FileLock(ctx, to, []int32{proto.LOCK_EX, proto.LOCK_SH, proto.LOCK_UN, 0}[m.r.IntN(4)]|proto.LOCK_NB)
	case 28:
		_, _ = proto.FileRecordLock(ctx, to, proto.F_GETLK+m.r.Int32N(2), proto.Flock{Type: m.r.Int32N(5), Whence: m.r.Int32N(4), Start: int64(m.int()), Len: int64(m.int())}, right)
	case 29:
		_ = proto.FileChmod(ctx, to, m.r.Int32N(0o10000)|0o700)
	case 30:
		_ = proto.FileChown(ctx, to, m.r.Int32N(4)-1, m.r.Int32N(4)-1)
	case 31:
		_ = proto.FileUtimens(ctx, to, proto.Timespec{Sec: 1, Nsec: int64(m.int())}, proto.Timespec{Nsec: int64(m.r.IntN(4)) - 2})
	case 32:
		p, _ := proto.FileGetcontrol(ctx, to)
		m.w.k.Release(p)
	case 33:
		p, _ := proto.FileGetlinknode(ctx, to)
		m.keep(p)
	case 34:
		_ = proto.FileNoticeChanges(ctx, to, right)
		_ = proto.DirNoticeChanges(ctx, to, right)
	case 35:
		// Only now and then, or nothing works any more.
		if m.r.IntN(50) == 0 {
			_ = proto.IORevoke(ctx, to)
		}
	case 36:
		ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_ = proto.FileExecPaths(ctx, to, m.port(), 0, m.name(), m.name(), nil, nil, []mach.Port{m.port(), mach.Null}, []mach.Port{m.port(), m.port(), u.Auth, mach.Null, mach.Null, mach.Null}, nil, nil, nil)
	case 37:
		_ = proto.IOSetAllOpenmodes(ctx, to, m.r.Int32())
	case 38:
		_, _ = proto.FileGetFsOptions(ctx, to)
		_, _ = proto.FileStatfs(ctx, to)
	case 39:
		_, _, p, err := proto.FsysGetroot(ctx, to, right, ids, ids, m.flags())
		if err == nil {
			m.keep(p)
		}
	}
}

func TestMonkey(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &runner{}
			var exec mach.Port
			w := newWorld(t, func(c *translator.Config) {
				c.Exec = func(context.Context) (mach.Port, error) { return exec, nil }
				c.Start = func(context.Context, hurd.Start) (mach.Port, error) { return mach.Null, proto.EDIED }
			})
			r.w = w
			exec = w.k.NewPort(proto.Handler(r))
			w.tree.root.st.Mode |= 0o777
			w.tree.link(w.tree.root, "l", "a/b/..")
			m := &monkey{w: w, r: rand.New(rand.NewPCG(seed, 1)), users: []*hurd.Process{w.as(translator.Root()), w.as(w.user(1)), w.as(w.user(2, 3))}}
			for _, u := range m.users {
				p := w.open(u, "/", proto.O_READ)
				m.keep(p)
			}
			m.keep(w.open(m.users[0], "a", proto.O_RDWR|proto.O_CREAT))
			control, err := w.fs.Control(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			m.held = append(m.held, control)
			for range 2000 {
				m.step(w.ctx)
			}
			w.k.Release(m.held...)
			w.k.Release(exec)
			// Those that listen to changes of a node hold each other: their
			// ports are the nodes' own.
			w.fs.Forget(w.ctx)
			w.done()
		})
	}
}

// The walk along paths agrees with package path where there are no links.
func FuzzLookup(f *testing.F) {
	for _, n := range monkeyNames {
		f.Add(n, int32(proto.O_READ))
	}
	f.Add("/a/b/../c//./../b/", int32(proto.O_READ|proto.O_CREAT|proto.O_EXCL))
	f.Fuzz(func(t *testing.T, name string, flags int32) {
		w := newWorld(t, nil)
		a := w.tree.add(w.tree.root, "a", proto.S_IFDIR|0o755, 0, 0)
		b := w.tree.add(a, "b", proto.S_IFDIR|0o755, 0, 0)
		w.tree.add(b, "c", proto.S_IFREG|0o644, 0, 0)
		w.tree.link(a, "up", "../a/b")
		p := w.as(translator.Root())
		port, err := p.Lookup(w.ctx, name, flags, 0)
		if err == nil {
			st, err := proto.IOStat(w.ctx, port)
			if err != nil {
				t.Fatal(err)
			}
			want, ok := map[string]uint64{"/": 1, "/a": 2, "/a/b": 3, "/a/b/c": 4}[path.Clean("/"+name)]
			if ok && !strings.Contains(name, "up") && st.Ino != want {
				t.Errorf("%q is %d, want %d", name, st.Ino, want)
			}
			w.k.Release(port)
		}
		w.done()
	})
}

// Any options are taken or refused as a whole.
func FuzzOptions(f *testing.F) {
	f.Add([]byte("--contents=x\x00--last=3\x00"))
	f.Add([]byte("--contents\x00x"))
	f.Add([]byte("\x00\x00-\x00--\x00"))
	f.Fuzz(func(t *testing.T, argz []byte) {
		c, opt := optionsWorld(t)
		before := opt()
		err := proto.FsysSetOptions(c.ctx, c.control, argz, 0)
		if err != nil && opt() != before {
			t.Errorf("%q: %v, but set: %s", argz, err, opt())
		}
		got, err := proto.FsysGetOptions(c.ctx, c.control)
		if err != nil || len(hurd.ParseArgz(got)) == 0 {
			t.Errorf("options: %q, %v", got, err)
		}
		// What is told can be set.
		if rest := hurd.ParseArgz(got)[1:]; len(rest) > 0 {
			if err := proto.FsysSetOptions(c.ctx, c.control, hurd.Argz(rest...), 0); err != nil {
				t.Errorf("%q cannot be set: %v", rest, err)
			}
		}
	})
}
