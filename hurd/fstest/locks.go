//go:build linux || hurd

package fstest

import (
	"fmt"
	"io"
	"syscall"
	"time"
)

// grace is how long a case waits to see that something does not happen.
const grace = 50 * time.Millisecond

func lockCases() []Case {
	const (
		sh, ex, un, nb = syscall.LOCK_SH, syscall.LOCK_EX, syscall.LOCK_UN, syscall.LOCK_NB
	)
	flock := func(fd, how int) error { return again(func() error { return syscall.Flock(fd, how) }) }
	two := func(t *T) (a, b int) {
		f := t.File("f", "")
		return t.Open(f, syscall.O_RDWR, 0), t.Open(f, syscall.O_RDWR, 0)
	}
	var cases []Case
	names := map[int]string{sh: "shared", ex: "exclusive"}
	for _, first := range []int{sh, ex} {
		for _, second := range []int{sh, ex} {
			want := []syscall.Errno{syscall.EWOULDBLOCK}
			if first == sh && second == sh {
				want = fine
			}
			cases = append(cases, Case{"file_lock/" + names[first] + "-then-" + names[second], Locks, func(t *T) {
				a, b := two(t)
				t.OK(flock(a, first|nb), "first")
				t.Want(flock(b, second|nb), "second", want...)
				t.OK(flock(a, un), "unlock")
				t.Want(flock(b, second|nb), "after unlocking", 0)
			}}, Case{fmt.Sprintf("file_lock/%s-to-%s", names[first], names[second]), Locks, func(t *T) {
				a, b := two(t)
				t.OK(flock(a, first|nb), "first")
				t.OK(flock(a, second|nb), "conversion")
				want := fine
				if second == ex {
					want = []syscall.Errno{syscall.EWOULDBLOCK}
				}
				t.Want(flock(b, sh|nb), "another's shared lock", want...)
			}})
		}
	}
	cases = append(cases,
		Case{"file_lock/released-by-close", Locks, func(t *T) {
			a, b := two(t)
			t.OK(flock(a, ex|nb), "lock")
			t.OK(syscall.Close(a), "close")
			t.soon("the lock outlives its descriptor", func() bool { return flock(b, ex|nb) == nil })
		}},
		Case{"file_lock/shared-by-dup", Locks, func(t *T) {
			a, b := two(t)
			c, err := syscall.Dup(a)
			t.OK(err, "dup")
			t.OK(flock(a, ex|nb), "lock")
			t.Want(flock(c, ex|nb), "lock by the duplicate", 0)
			t.OK(syscall.Close(a), "close")
			t.Want(flock(b, ex|nb), "another's while the duplicate is open", syscall.EWOULDBLOCK)
			t.OK(syscall.Close(c), "close of the duplicate")
			t.soon("the lock outlives its descriptors", func() bool { return flock(b, ex|nb) == nil })
		}},
		Case{"file_lock/waits", Locks, func(t *T) {
			a, b := two(t)
			t.OK(flock(a, ex), "lock")
			got := make(chan error, 1)
			go func() { got <- flock(b, ex) }()
			select {
			case err := <-got:
				t.Fatalf("another got it meanwhile: %v", err)
			case <-time.After(grace):
			}
			t.OK(flock(a, un), "unlock")
			select {
			case err := <-got:
				t.OK(err, "the other's lock")
			case <-t.ctx.Done():
				t.Fatalf("the other never got it")
			}
		}},
		Case{"file_lock/waits-for-all-readers", Locks, func(t *T) {
			f := t.File("f", "")
			w := t.Open(f, syscall.O_RDWR, 0)
			var readers []int
			for range 3 {
				r := t.Open(f, syscall.O_RDONLY, 0)
				t.OK(flock(r, sh), "shared lock")
				readers = append(readers, r)
			}
			got := make(chan error, 1)
			go func() { got <- flock(w, ex) }()
			for _, r := range readers {
				select {
				case err := <-got:
					t.Fatalf("the writer got it too early: %v", err)
				case <-time.After(grace / 2):
				}
				t.OK(flock(r, un), "unlock")
			}
			select {
			case err := <-got:
				t.OK(err, "the writer's lock")
			case <-t.ctx.Done():
				t.Fatalf("the writer never got it")
			}
		}},
		Case{"file_lock/unlock-without-lock", Locks, func(t *T) {
			a, _ := two(t)
			t.OK(flock(a, un), "unlock")
		}},
		Case{"file_lock/nothing-asked-for", Locks, func(t *T) {
			a, _ := two(t)
			t.Want(flock(a, nb), "lock", syscall.EINVAL)
		}},
		Case{"file_lock/does-not-stop-writing", Locks, func(t *T) {
			a, b := two(t)
			t.OK(flock(a, ex|nb), "lock")
			t.Write(b, "content")
			t.Content(t.Path("f"), "content")
		}},
		Case{"file_lock/other-files-are-free", Locks, func(t *T) {
			a, _ := two(t)
			t.OK(flock(a, ex|nb), "lock")
			t.OK(flock(t.Open(t.File("g", ""), syscall.O_RDWR, 0), ex|nb), "lock of another file")
		}},
		Case{"file_lock/by-another-name", Locks | HardLinks, func(t *T) {
			a, _ := two(t)
			t.OK(syscall.Link(t.Path("f"), t.Path("g")), "link")
			t.OK(flock(a, ex|nb), "lock")
			t.Want(flock(t.Open(t.Path("g"), syscall.O_RDWR, 0), ex|nb), "by the other name", syscall.EWOULDBLOCK)
		}},
		Case{"file_lock/of-another-process", Locks | Users, func(t *T) {
			f := t.FileMode("f", "", 0o666)
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.WantAs(other, Op{Call: "hold", File: 1, Path: f, Flags: syscall.O_RDWR}, fine...)
			t.WantAs(other, Op{Call: "flock", File: 1, Flags: ex | nb}, fine...)
			t.Want(flock(fd, ex|nb), "lock", syscall.EWOULDBLOCK)
			t.crew.drop(other)
			t.soon("the lock outlives its process", func() bool { return flock(fd, ex|nb) == nil })
		}},
		Case{"file_lock/directory", Locks, func(t *T) {
			a, b := t.Open(t.dir, syscall.O_RDONLY, 0), t.Open(t.dir, syscall.O_RDONLY, 0)
			t.OK(flock(a, ex|nb), "lock")
			t.Want(flock(b, ex|nb), "another's", syscall.EWOULDBLOCK)
		}},
	)
	return append(cases, recordLockCases()...)
}

// recordLockCases are about locks of parts of files. They are a process's on
// some systems and an open file's on the Hurd, so that the other side of each
// is another process with another open file.
func recordLockCases() []Case {
	const rd, wr, un = syscall.F_RDLCK, syscall.F_WRLCK, syscall.F_UNLCK
	lock := func(typ int, start, length int64) syscall.Flock_t {
		return syscall.Flock_t{Type: int16(typ), Whence: io.SeekStart, Start: start, Len: length}
	}
	type side struct {
		t  *T
		fd int
	}
	// begin opens a file here and in another process.
	begin := func(t *T) side {
		f := t.FileMode("f", "0123456789", 0o666)
		fd := t.Open(f, syscall.O_RDWR, 0)
		t.OK(t.As(me, Op{Call: "hold", File: 1, Path: f, Flags: syscall.O_RDWR}).Err(), "open by another process")
		t.Cleanup(func() { t.crew.drop(me) })
		return side{t, fd}
	}
	set := func(s side, l syscall.Flock_t) error {
		return again(func() error { return syscall.FcntlFlock(uintptr(s.fd), syscall.F_SETLK, &l) })
	}
	theirs := func(s side, l syscall.Flock_t) error {
		return s.t.As(me, Op{Call: "fcntl", File: 1, Flags: syscall.F_SETLK, Lock: l}).Err()
	}
	taken := []syscall.Errno{syscall.EAGAIN, syscall.EACCES}
	var cases []Case
	for _, x := range []struct {
		name       string
		mine, next syscall.Flock_t
		want       []syscall.Errno
	}{
		{"read-read", lock(rd, 0, 5), lock(rd, 0, 5), fine},
		{"read-write", lock(rd, 0, 5), lock(wr, 0, 5), taken},
		{"write-read", lock(wr, 0, 5), lock(rd, 0, 5), taken},
		{"write-write", lock(wr, 0, 5), lock(wr, 0, 5), taken},
		{"apart", lock(wr, 0, 5), lock(wr, 5, 5), fine},
		{"one-byte-over", lock(wr, 0, 5), lock(wr, 4, 1), taken},
		{"inside", lock(wr, 0, 10), lock(wr, 3, 2), taken},
		{"around", lock(wr, 3, 2), lock(wr, 0, 10), taken},
		{"to-the-end", lock(wr, 5, 0), lock(wr, 1_000_000, 1), taken},
		{"before-the-end-lock", lock(wr, 5, 0), lock(wr, 0, 5), fine},
		{"whole", lock(wr, 0, 0), lock(rd, 0, 0), taken},
		{"beyond-the-file", lock(wr, 100, 5), lock(wr, 102, 1), taken},
		{"nothing", lock(un, 0, 0), lock(wr, 0, 0), fine},
	} {
		cases = append(cases, Case{"file_record_lock/" + x.name, Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, x.mine), "the first lock")
			t.Want(theirs(s, x.next), "the other's lock", x.want...)
			t.OK(set(s, lock(un, 0, 0)), "unlock")
			t.Want(theirs(s, x.next), "the other's lock then", 0)
		}})
	}
	return append(cases,
		Case{"file_record_lock/unlock-of-the-middle", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, lock(wr, 0, 10)), "lock")
			t.OK(set(s, lock(un, 4, 2)), "unlock")
			t.Want(theirs(s, lock(wr, 4, 2)), "the middle", 0)
			t.Want(theirs(s, lock(wr, 3, 1)), "before it", taken...)
			t.Want(theirs(s, lock(wr, 6, 1)), "behind it", taken...)
		}},
		Case{"file_record_lock/weaker-in-the-middle", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, lock(wr, 0, 10)), "lock")
			t.OK(set(s, lock(rd, 4, 2)), "weaker")
			t.Want(theirs(s, lock(rd, 4, 2)), "reading the middle", 0)
			t.Want(theirs(s, lock(rd, 3, 1)), "before it", taken...)
		}},
		Case{"file_record_lock/neighbours-join", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, lock(wr, 0, 5)), "lock")
			t.OK(set(s, lock(wr, 5, 5)), "lock")
			t.OK(set(s, lock(un, 2, 6)), "unlock over the seam")
			t.Want(theirs(s, lock(wr, 2, 6)), "what is free", 0)
			t.Want(theirs(s, lock(wr, 0, 2)), "the beginning", taken...)
			t.Want(theirs(s, lock(wr, 8, 2)), "the end", taken...)
		}},
		Case{"file_record_lock/upgrade", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, lock(rd, 0, 5)), "lock")
			t.OK(theirs(s, lock(rd, 0, 5)), "the other's")
			t.Want(set(s, lock(wr, 0, 5)), "upgrade", taken...)
			t.OK(theirs(s, lock(un, 0, 5)), "the other's unlock")
			t.Want(set(s, lock(wr, 0, 5)), "upgrade then", 0)
		}},
		Case{"file_record_lock/from-the-pointer", Locks, func(t *T) {
			s := begin(t)
			t.Seek(s.fd, 4, io.SeekStart)
			t.OK(set(s, syscall.Flock_t{Type: int16(wr), Whence: io.SeekCurrent, Start: 1, Len: 2}), "lock of 5 and 6")
			t.Want(theirs(s, lock(wr, 4, 1)), "4", 0)
			t.Want(theirs(s, lock(wr, 6, 1)), "6", taken...)
		}},
		Case{"file_record_lock/from-the-end", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, syscall.Flock_t{Type: int16(wr), Whence: io.SeekEnd, Start: -2, Len: 1}), "lock of 8")
			t.Want(theirs(s, lock(wr, 9, 1)), "9", 0)
			t.Want(theirs(s, lock(wr, 8, 1)), "8", taken...)
		}},
		Case{"file_record_lock/who-has-it", Locks, func(t *T) {
			s := begin(t)
			t.OK(set(s, lock(wr, 2, 3)), "lock")
			out := t.As(me, Op{Call: "fcntl", File: 1, Flags: syscall.F_GETLK, Lock: lock(wr, 0, 10)})
			t.OK(out.Err(), "getlk")
			Equal(t, int(out.Lock.Type), wr, "type")
			Equal(t, out.Lock.Start, 2, "start")
			Equal(t, out.Lock.Len, 3, "length")
			out = t.As(me, Op{Call: "fcntl", File: 1, Flags: syscall.F_GETLK, Lock: lock(wr, 5, 1)})
			t.OK(out.Err(), "getlk")
			Equal(t, int(out.Lock.Type), un, "type where nothing is")
		}},
		Case{"file_record_lock/released-by-close", Locks, func(t *T) {
			s := begin(t)
			t.OK(theirs(s, lock(wr, 0, 0)), "the other's lock")
			t.Want(set(s, lock(wr, 0, 0)), "lock", taken...)
			t.OK(t.As(me, Op{Call: "close", File: 1}).Err(), "the other's close")
			t.soon("the lock outlives its descriptor", func() bool { return set(s, lock(wr, 0, 0)) == nil })
		}},
		Case{"file_record_lock/released-by-the-end-of-the-process", Locks, func(t *T) {
			s := begin(t)
			t.OK(theirs(s, lock(wr, 0, 0)), "the other's lock")
			t.crew.drop(me)
			t.soon("the lock outlives its process", func() bool { return set(s, lock(wr, 0, 0)) == nil })
		}},
		Case{"file_record_lock/write-lock-of-descriptor-to-read", Locks, func(t *T) {
			fd := t.Open(t.File("f", ""), syscall.O_RDONLY, 0)
			t.Want(set(side{t, fd}, lock(wr, 0, 0)), "lock", syscall.EBADF)
			t.Want(set(side{t, fd}, lock(rd, 0, 0)), "lock to read", 0)
		}},
		Case{"file_record_lock/read-lock-of-descriptor-to-write", Locks, func(t *T) {
			fd := t.Open(t.File("f", ""), syscall.O_WRONLY, 0)
			t.Want(set(side{t, fd}, lock(rd, 0, 0)), "lock", syscall.EBADF)
		}},
		Case{"file_record_lock/negative", Locks, func(t *T) {
			t.Want(set(begin(t), lock(wr, -1, 5)), "lock", syscall.EINVAL)
		}},
		Case{"file_record_lock/no-such-type", Locks, func(t *T) {
			t.Want(set(begin(t), lock(77, 0, 5)), "lock", syscall.EINVAL)
		}},
		Case{"file_record_lock/waits", Locks, func(t *T) {
			s := begin(t)
			t.OK(theirs(s, lock(wr, 0, 5)), "the other's lock")
			got := make(chan error, 1)
			go func() {
				l := lock(wr, 2, 1)
				got <- again(func() error { return syscall.FcntlFlock(uintptr(s.fd), syscall.F_SETLKW, &l) })
			}()
			select {
			case err := <-got:
				t.Fatalf("got it meanwhile: %v", err)
			case <-time.After(grace):
			}
			t.OK(theirs(s, lock(un, 0, 5)), "the other's unlock")
			select {
			case err := <-got:
				t.OK(err, "lock")
			case <-t.ctx.Done():
				t.Fatalf("never got it")
			}
		}},
	)
}
