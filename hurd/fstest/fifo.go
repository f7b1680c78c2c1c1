//go:build linux || hurd

package fstest

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"
)

func fifoCases() []Case {
	const nb = syscall.O_NONBLOCK
	// The Hurd has more bits, such as that a translator is here.
	const modeBits = syscall.S_IFMT | 0o7777
	fifo := func(t *T) string { return aFifo.make(t, "p") }
	// both opens a fifo at both ends.
	both := func(t *T) (path string, r, w int) {
		path = fifo(t)
		r = t.Open(path, syscall.O_RDONLY|nb, 0)
		w = t.Open(path, syscall.O_WRONLY|nb, 0)
		return path, r, w
	}
	read := func(fd, n int) (string, error) {
		b := make([]byte, n)
		var got int
		err := again(func() (err error) { got, err = syscall.Read(fd, b); return err })
		return string(b[:max(got, 0)]), err
	}
	// ends waits for the end, which a reader that does not wait may come
	// before.
	ends := func(t *T, r int) {
		var got string
		var err error
		t.soon("the end never comes", func() bool {
			got, err = read(r, 10)
			return errnoOf(err) != syscall.EAGAIN
		})
		t.OK(err, "read at the end")
		Equal(t, got, "", "at the end")
	}
	cases := []Case{
		{"dir_mkfile/fifo-stat", Fifos, func(t *T) {
			st := t.Lstat(fifo(t))
			Equal(t, st.Mode&modeBits, syscall.S_IFIFO|0o644, "mode")
			Equal(t, st.Nlink, 1, "links")
		}},
		{"dir_mkfile/fifo-umask", Fifos, func(t *T) {
			t.Umask(0o077)
			t.OK(syscall.Mkfifo(t.Path("p"), 0o666), "mkfifo")
			Equal(t, t.Stat(t.Path("p")).Mode&modeBits, syscall.S_IFIFO|0o600, "mode")
		}},
		{"dir_mkfile/fifo-over-file", Fifos, func(t *T) {
			t.Want(syscall.Mkfifo(t.File("p", ""), 0o644), "mkfifo", syscall.EEXIST)
		}},
		{"dir_lookup/fifo-to-write-without-reader", Fifos, func(t *T) {
			t.Want(t.Do(Op{Call: "open", Path: fifo(t), Flags: syscall.O_WRONLY | nb}).Err(), "open", syscall.ENXIO)
		}},
		{"dir_lookup/fifo-to-read-without-writer", Fifos, func(t *T) {
			t.Want(t.Do(Op{Call: "open", Path: fifo(t), Flags: syscall.O_RDONLY | nb}).Err(), "open", 0)
		}},
		{"dir_lookup/fifo-ends-wait-for-each-other", Fifos, func(t *T) {
			path := fifo(t)
			opened := make(chan int, 1)
			go func() {
				fd, err := open(path, syscall.O_RDONLY, 0)
				if err != nil {
					t.Errorf("open to read: %v", err)
				}
				opened <- fd
			}()
			select {
			case <-opened:
				t.Fatalf("opened to read without a writer")
			case <-time.After(grace):
			}
			w := t.Open(path, syscall.O_WRONLY, 0)
			var r int
			select {
			case r = <-opened:
			case <-t.ctx.Done():
				t.Fatalf("the reader still waits")
			}
			t.Cleanup(func() { syscall.Close(r) })
			t.Write(w, "hello")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "hello", "content")
		}},
		{"io_read/fifo-end", Fifos, func(t *T) {
			_, r, w := both(t)
			t.Write(w, "rest")
			t.OK(syscall.Close(w), "close")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "rest", "what was in it")
			ends(t, r)
			ends(t, r)
		}},
		{"io_read/fifo-empty", Fifos, func(t *T) {
			_, r, _ := both(t)
			_, err := read(r, 10)
			t.Want(err, "read", syscall.EAGAIN)
		}},
		{"io_read/fifo-never-written", Fifos, func(t *T) {
			r := t.Open(fifo(t), syscall.O_RDONLY|nb, 0)
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "", "content")
		}},
		{"io_read/fifo-in-pieces", Fifos, func(t *T) {
			_, r, w := both(t)
			t.Write(w, "abc")
			t.Write(w, "def")
			got, err := read(r, 4)
			t.OK(err, "read")
			Equal(t, got, "abcd", "first read")
			got, err = read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "ef", "second read")
		}},
		{"io_read/fifo-waits", Fifos, func(t *T) {
			path, _, w := both(t)
			r := t.Open(path, syscall.O_RDONLY, 0)
			got := make(chan string, 1)
			go func() { s, _ := read(r, 10); got <- s }()
			select {
			case s := <-got:
				t.Fatalf("read %q of an empty fifo", s)
			case <-time.After(grace):
			}
			t.Write(w, "now")
			select {
			case s := <-got:
				Equal(t, s, "now", "content")
			case <-t.ctx.Done():
				t.Fatalf("the reader still waits")
			}
		}},
		{"io_read/fifo-waits-for-the-end", Fifos, func(t *T) {
			path, _, w := both(t)
			r := t.Open(path, syscall.O_RDONLY, 0)
			got := make(chan error, 1)
			go func() {
				s, err := read(r, 10)
				if s != "" {
					t.Errorf("read %q", s)
				}
				got <- err
			}()
			select {
			case <-got:
				t.Fatalf("the end was there before the writer closed")
			case <-time.After(grace):
			}
			t.OK(syscall.Close(w), "close")
			select {
			case err := <-got:
				t.OK(err, "read at the end")
			case <-t.ctx.Done():
				t.Fatalf("the reader still waits")
			}
		}},
		{"io_read/fifo-second-writer-keeps-it-open", Fifos, func(t *T) {
			path, r, w := both(t)
			w2 := t.Open(path, syscall.O_WRONLY, 0)
			t.OK(syscall.Close(w), "close")
			_, err := read(r, 10)
			t.Want(err, "read", syscall.EAGAIN)
			t.OK(syscall.Close(w2), "close of the second")
			ends(t, r)
		}},
		{"io_read/fifo-written-again-after-the-end", Fifos, func(t *T) {
			path, r, w := both(t)
			t.OK(syscall.Close(w), "close")
			ends(t, r)
			t.Write(t.Open(path, syscall.O_WRONLY|nb, 0), "again")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "again", "content")
		}},
		{"io_write/fifo-without-reader", Fifos, func(t *T) {
			_, r, w := both(t)
			t.OK(syscall.Close(r), "close")
			var err error
			t.soon("a write without a reader goes on", func() bool {
				_, err = syscall.Write(w, []byte("x"))
				return err != nil
			})
			t.Want(err, "write", syscall.EPIPE)
		}},
		{"io_write/fifo-full", Fifos, func(t *T) {
			_, r, w := both(t)
			total := 0
			chunk := pattern(4096)
			for {
				n, err := syscall.Write(w, chunk)
				if err != nil {
					t.Want(err, "write to a full fifo", syscall.EAGAIN)
					break
				}
				if total += n; total > 64<<20 {
					t.Fatalf("%d bytes went in and nobody reads", total)
				}
			}
			got := 0
			for got < total {
				s, err := read(r, 1<<16)
				t.OK(err, "read")
				got += len(s)
			}
			Equal(t, got, total, "bytes that came out")
			n, err := syscall.Write(w, []byte("room again"))
			t.OK(err, "write")
			Equal(t, n, 10, "bytes")
		}},
		{"io_write/fifo-much", Fifos, func(t *T) {
			path, _, _ := both(t)
			r, w := t.Open(path, syscall.O_RDONLY, 0), t.Open(path, syscall.O_WRONLY, 0)
			want := pattern(300_000)
			go func() {
				for b := want; len(b) > 0; {
					n, err := syscall.Write(w, b[:min(len(b), 7001)])
					if errnoOf(err) == syscall.EINTR {
						continue
					}
					if err != nil || n == 0 {
						t.Errorf("write: %d, %v", n, err)
						break
					}
					b = b[n:]
				}
			}()
			t.sameBytes([]byte(t.Read(r, len(want))), want, "what came")
		}},
		{"io_write/fifo-lines-stay-whole", Fifos, func(t *T) {
			path, _, _ := both(t)
			r := t.Open(path, syscall.O_RDONLY, 0)
			const writers, lines = 4, 100
			line := func(w int) string { return strings.Repeat(string(rune('a'+w)), 200) + "\n" }
			var wg sync.WaitGroup
			for i := range writers {
				w := t.Open(path, syscall.O_WRONLY, 0)
				wg.Go(func() {
					for range lines {
						if n, err := syscall.Write(w, []byte(line(i))); n != 201 {
							t.Errorf("write: %d, %v", n, err)
						}
					}
				})
			}
			got := []byte(t.Read(r, writers*lines*201))
			wg.Wait()
			for _, l := range bytes.SplitAfter(got, []byte("\n")) {
				if len(l) > 0 && string(l) != line(int(l[0]-'a')) {
					t.Fatalf("a line is %s", abbreviate(l))
				}
			}
		}},
		{"io_seek/fifo", Fifos, func(t *T) {
			_, r, _ := both(t)
			_, err := syscall.Seek(r, 0, io.SeekStart)
			t.Want(err, "seek", syscall.ESPIPE)
		}},
		{"dir_unlink/fifo-in-use", Fifos, func(t *T) {
			path, r, w := both(t)
			t.OK(syscall.Unlink(path), "unlink")
			t.Write(w, "still")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "still", "content")
		}},
		{"dir_rename/fifo-in-use", Fifos, func(t *T) {
			path, r, _ := both(t)
			t.OK(syscall.Rename(path, t.Path("q")), "rename")
			t.Write(t.Open(t.Path("q"), syscall.O_WRONLY|nb, 0), "hello")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "hello", "content")
		}},
		{"dir_link/fifo-in-use", Fifos | HardLinks, func(t *T) {
			path, r, _ := both(t)
			t.OK(syscall.Link(path, t.Path("q")), "link")
			t.Write(t.Open(t.Path("q"), syscall.O_WRONLY|nb, 0), "hello")
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "hello", "content")
		}},
		{"dir_lookup/fifo-permission", Fifos | Users, func(t *T) {
			path := fifo(t)
			t.OK(syscall.Chmod(path, 0o600), "chmod")
			t.WantAs(other, Op{Call: "open", Path: path, Flags: syscall.O_RDONLY | nb}, denied...)
		}},
		{"io_write/fifo-between-processes", Fifos | Users, func(t *T) {
			path, r, _ := both(t)
			t.OK(syscall.Chmod(path, 0o666), "chmod")
			t.WantAs(other, Op{Call: "hold", File: 1, Path: path, Flags: syscall.O_WRONLY | nb}, fine...)
			t.WantAs(other, Op{Call: "write", File: 1, Data: []byte("hello")}, fine...)
			t.WantAs(other, Op{Call: "close", File: 1}, fine...)
			got, err := read(r, 10)
			t.OK(err, "read")
			Equal(t, got, "hello", "content")
		}},
	}
	return cases
}

func deviceCases() []Case {
	device := func(name string, flags int, run func(t *T, fd int)) func(t *T) {
		return func(t *T) {
			if t.statOrNil(name) == nil {
				t.Skipf("no %s", name)
			}
			run(t, t.Open(name, flags, 0))
		}
	}
	return []Case{
		{"io_read/null", Devices, device("/dev/null", syscall.O_RDONLY, func(t *T, fd int) { Equal(t, t.Read(fd, 10), "", "content") })},
		{"io_write/null", Devices, device("/dev/null", syscall.O_RDWR, func(t *T, fd int) {
			t.Write(fd, strings.Repeat("x", 100_000))
			Equal(t, t.Read(fd, 10), "", "content")
		})},
		{"file_set_size/null", Devices, device("/dev/null", syscall.O_WRONLY|syscall.O_TRUNC|syscall.O_CREAT, func(t *T, fd int) {
			t.Write(fd, "x") // as the shell does it
		})},
		{"io_read/zero", Devices, device("/dev/zero", syscall.O_RDONLY, func(t *T, fd int) {
			t.sameBytes([]byte(t.Read(fd, 10_000)), make([]byte, 10_000), "content")
		})},
		{"io_write/zero", Devices, device("/dev/zero", syscall.O_WRONLY, func(t *T, fd int) { t.Write(fd, "anything") })},
		{"io_read/full", Devices, device("/dev/full", syscall.O_RDONLY, func(t *T, fd int) {
			t.sameBytes([]byte(t.Read(fd, 100)), make([]byte, 100), "content")
		})},
		{"io_write/full", Devices, device("/dev/full", syscall.O_WRONLY, func(t *T, fd int) {
			_, err := syscall.Write(fd, []byte("x"))
			t.Want(err, "write", syscall.ENOSPC)
		})},
		{"io_read/random", Devices, device("/dev/urandom", syscall.O_RDONLY, func(t *T, fd int) {
			a, b := t.Read(fd, 100), t.Read(fd, 100)
			Equal(t, len(a), 100, "bytes")
			if a == b {
				t.Errorf("the same 100 bytes twice")
			}
		})},
	}
}
