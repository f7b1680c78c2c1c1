//go:build linux || hurd

package fstest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// raceCases have several do things at once, and look at what is left.
func raceCases() []Case {
	// together runs f n times at once and counts the calls that succeed; the
	// others have to fail with one of want.
	together := func(t *T, n int, f func(i int) error, want ...syscall.Errno) int {
		var ok atomic.Int32
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if err := again(func() error { return f(i) }); err == nil {
					ok.Add(1)
				} else {
					t.Want(err, fmt.Sprint("the call of ", i), want...)
				}
			})
		}
		wg.Wait()
		return int(ok.Load())
	}
	const n = 8
	return []Case{
		{"dir_lookup/create-excl-at-once", 0, func(t *T) {
			for round := range 10 {
				path := t.Path(fmt.Sprint(round))
				got := together(t, n, func(int) error {
					fd, err := open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o644)
					if err == nil {
						syscall.Close(fd)
					}
					return err
				}, syscall.EEXIST)
				Equal(t, got, 1, "creators in round %d", round)
			}
		}},
		{"dir_lookup/create-at-once", 0, func(t *T) {
			for round := range 10 {
				path := t.Path(fmt.Sprint(round))
				Equal(t, together(t, n, func(int) error {
					fd, err := open(path, syscall.O_WRONLY|syscall.O_CREAT, 0o644)
					if err == nil {
						syscall.Close(fd)
					}
					return err
				}), n, "openers in round %d", round)
			}
			Equal(t, len(t.Names(t.dir)), 10, "files")
		}},
		{"dir_mkdir/at-once", 0, func(t *T) {
			for round := range 10 {
				path := t.Path(fmt.Sprint(round))
				Equal(t, together(t, n, func(int) error { return syscall.Mkdir(path, 0o755) }, syscall.EEXIST), 1, "makers in round %d", round)
			}
		}},
		{"dir_unlink/at-once", 0, func(t *T) {
			for round := range 10 {
				path := t.File(fmt.Sprint(round), "")
				Equal(t, together(t, n, func(int) error { return syscall.Unlink(path) }, syscall.ENOENT), 1, "removers in round %d", round)
			}
		}},
		{"dir_rmdir/at-once", 0, func(t *T) {
			for round := range 10 {
				path := t.Dir(fmt.Sprint(round))
				Equal(t, together(t, n, func(int) error { return syscall.Rmdir(path) }, syscall.ENOENT), 1, "removers in round %d", round)
			}
		}},
		{"dir_link/at-once", HardLinks, func(t *T) {
			f := t.File("f", "")
			Equal(t, together(t, n, func(i int) error { return syscall.Link(f, t.Path(fmt.Sprint(i))) }), n, "links made")
			Equal(t, t.Stat(f).Nlink, n+1, "links")
			Equal(t, together(t, n, func(i int) error { return syscall.Unlink(t.Path(fmt.Sprint(i))) }), n, "links removed")
			Equal(t, t.Stat(f).Nlink, 1, "links")
		}},
		{"dir_rename/at-once", 0, func(t *T) {
			for round := range 10 {
				from := t.File(fmt.Sprint(round), "content")
				got := together(t, n, func(i int) error { return syscall.Rename(from, t.Path(fmt.Sprintf("%d-%d", round, i))) }, syscall.ENOENT)
				Equal(t, got, 1, "renamers in round %d", round)
			}
			Equal(t, len(t.Names(t.dir)), 10, "files")
		}},
		{"dir_rename/over-at-once-always-there", 0, func(t *T) {
			// Whoever opens the name finds one of the files, whole.
			path := t.File("f", "0")
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if b, err := os.ReadFile(path); err != nil || len(b) != 1 {
							t.Errorf("read %q, %v", b, err)
							return
						}
					}
				})
			}
			for i := range 200 {
				t.OK(syscall.Rename(t.File("new", fmt.Sprint(i%10)), path), "rename")
			}
			close(stop)
			wg.Wait()
		}},
		{"dir_rename/crosswise-at-once", 0, func(t *T) {
			// Directories against each other: a server that locks in the wrong
			// order hangs, one that does not lock makes a ring.
			t.Dir("a")
			t.Dir("b")
			t.Dir("a/x")
			t.Dir("b/y")
			for range 50 {
				together(t, 2, func(i int) error {
					if i == 0 {
						return syscall.Rename(t.Path("a/x"), t.Path("b/y/x"))
					}
					return syscall.Rename(t.Path("b/y"), t.Path("a/x/y"))
				}, syscall.ENOENT, syscall.EINVAL, syscall.ENOTEMPTY)
				// Back to the beginning.
				syscall.Rename(t.Path("b/y/x"), t.Path("a/x"))
				syscall.Rename(t.Path("a/x/y"), t.Path("b/y"))
				t.WantNames(t.Path("a"), "x")
				t.WantNames(t.Path("b"), "y")
			}
		}},
		{"dir_rename/exchange-of-directories-at-once", 0, func(t *T) {
			t.Dir("a")
			t.Dir("b")
			t.File("a/0", "")
			t.File("b/1", "")
			for round := range 50 {
				got := together(t, 2, func(i int) error {
					from, to := t.Path(fmt.Sprint("a/", i)), t.Path(fmt.Sprint("b/", i))
					if (i+round)%2 == 1 {
						from, to = to, from
					}
					return syscall.Rename(from, to)
				})
				Equal(t, got, 2, "renamers in round %d", round)
			}
		}},
		{"io_write/at-once-in-one-file", 0, func(t *T) {
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			const each = 5000
			want := pattern(n * each)
			together(t, n, func(i int) error {
				for at := i * each; at < (i+1)*each; at += 100 {
					if _, err := syscall.Pwrite(fd, want[at:at+100], int64(at)); err != nil {
						return err
					}
				}
				return nil
			})
			t.sameBytes([]byte(t.Read(fd, n*each+1)), want, "content")
		}},
		{"io_read/pointer-at-once", 0, func(t *T) {
			// Readers who share a pointer get every byte once.
			const total = 4000
			fd := t.Open(t.File("f", string(pattern(total))), syscall.O_RDONLY, 0)
			var sum atomic.Int64
			together(t, n, func(int) error {
				b := make([]byte, 10)
				for {
					m, err := syscall.Read(fd, b)
					if err != nil || m == 0 {
						return err
					}
					sum.Add(int64(m))
				}
			})
			Equal(t, sum.Load(), total, "bytes read")
		}},
		{"dir_lookup/while-the-tree-changes", 0, func(t *T) {
			t.Dir("a")
			t.Dir("a/b")
			t.File("a/b/f", "content")
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						b, err := os.ReadFile(t.Path("a/b/../b/f"))
						if err == nil && string(b) != "content" {
							t.Errorf("read %q", b)
							return
						}
						if err != nil {
							t.Want(err, "open", syscall.ENOENT)
						}
					}
				})
			}
			for range 200 {
				t.OK(syscall.Rename(t.Path("a/b"), t.Path("c")), "rename")
				t.OK(syscall.Rename(t.Path("c"), t.Path("a/b")), "rename back")
			}
			close(stop)
			wg.Wait()
		}},
		{"file_set_size/at-once-with-reads", 0, func(t *T) {
			f := t.File("f", "")
			w, r := t.Open(f, syscall.O_RDWR, 0), t.Open(f, syscall.O_RDONLY, 0)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				b := make([]byte, 20_000)
				for {
					select {
					case <-stop:
						return
					default:
					}
					m, err := syscall.Pread(r, b, 0)
					if err != nil && errnoOf(err) != syscall.EINTR {
						t.Errorf("pread: %v", err)
						return
					}
					for _, c := range b[:max(m, 0)] {
						if c != 'x' && c != 0 {
							t.Errorf("read %#x, which nobody wrote", c)
							return
						}
					}
				}
			})
			x := make([]byte, 10_000)
			for i := range x {
				x[i] = 'x'
			}
			for range 100 {
				_, err := syscall.Pwrite(w, x, 5_000)
				t.OK(err, "pwrite")
				t.OK(syscall.Ftruncate(w, 100), "truncate")
			}
			close(stop)
			wg.Wait()
		}},
	}
}
