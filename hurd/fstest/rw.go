//go:build linux || hurd

package fstest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
)

// pattern is n bytes that differ from place to place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*7 ^ i>>16*31)
	}
	return b
}

func ioCases() []Case {
	var cases []Case
	// Around the sizes at which messages and pages change their form.
	for _, n := range []int{0, 1, 3, 511, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 65536, 65537, 1 << 20, 1<<20 + 17} {
		cases = append(cases, Case{fmt.Sprintf("io_write/%d-bytes", n), 0, func(t *T) {
			f, data := t.Path("f"), pattern(n)
			fd := t.Open(f, syscall.O_RDWR|syscall.O_CREAT, 0o644)
			t.Write(fd, string(data))
			Equal(t, t.Fstat(fd).Size, int64(n), "size")
			t.Seek(fd, 0, io.SeekStart)
			t.sameBytes([]byte(t.Read(fd, n+10)), data, "through the same descriptor")
			got, err := os.ReadFile(f)
			t.OK(err, "reading")
			t.sameBytes(got, data, "through another")
		}})
	}
	for _, step := range []int{1, 7, 512, 4096, 5000} {
		cases = append(cases, Case{fmt.Sprintf("io_write/in-steps-of-%d", step), 0, func(t *T) {
			data := pattern(min(step*50, 100_000))
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			for b := data; len(b) > 0; {
				n := min(step, len(b))
				t.Write(fd, string(b[:n]))
				b = b[n:]
			}
			t.Seek(fd, 0, io.SeekStart)
			var got []byte
			for {
				s := t.Read(fd, step)
				if s == "" {
					break
				}
				got = append(got, s...)
			}
			t.sameBytes(got, data, "read in the same steps")
		}})
	}
	for _, x := range []struct {
		name  string
		flags int
		call  func(fd int) error
	}{
		{"io_write/descriptor-to-read", syscall.O_RDONLY, func(fd int) error { _, err := syscall.Write(fd, []byte("x")); return err }},
		{"io_write/pwrite-descriptor-to-read", syscall.O_RDONLY, func(fd int) error { _, err := syscall.Pwrite(fd, []byte("x"), 0); return err }},
		{"io_read/descriptor-to-write", syscall.O_WRONLY, func(fd int) error { _, err := syscall.Read(fd, make([]byte, 1)); return err }},
		{"io_read/pread-descriptor-to-write", syscall.O_WRONLY, func(fd int) error { _, err := syscall.Pread(fd, make([]byte, 1), 0); return err }},
	} {
		cases = append(cases, Case{x.name, 0, func(t *T) {
			f := t.File("f", "content")
			t.Want(x.call(t.Open(f, x.flags, 0)), "the call", syscall.EBADF)
			t.Content(f, "content")
		}})
	}
	for _, x := range []struct {
		name   string
		offset int64
		whence int
		want   int64
		errno  syscall.Errno
	}{
		{"set", 3, io.SeekStart, 3, 0}, {"set-beyond-the-end", 100, io.SeekStart, 100, 0}, {"set-negative", -1, io.SeekStart, 0, syscall.EINVAL},
		{"current", 2, io.SeekCurrent, 6, 0}, {"current-back", -4, io.SeekCurrent, 0, 0}, {"current-below-zero", -5, io.SeekCurrent, 0, syscall.EINVAL},
		{"end", 0, io.SeekEnd, 10, 0}, {"end-back", -3, io.SeekEnd, 7, 0}, {"end-beyond", 5, io.SeekEnd, 15, 0}, {"end-below-zero", -11, io.SeekEnd, 0, syscall.EINVAL},
		{"no-such-whence", 0, 99, 0, syscall.EINVAL},
	} {
		cases = append(cases, Case{"io_seek/" + x.name, 0, func(t *T) {
			fd := t.Open(t.File("f", "0123456789"), syscall.O_RDONLY, 0)
			t.Read(fd, 4)
			at, err := syscall.Seek(fd, x.offset, x.whence)
			t.Want(err, "seek", x.errno)
			if x.errno == 0 {
				Equal(t, at, x.want, "the pointer")
			}
			want := ""
			if x.errno != 0 {
				want = "4" // a seek that fails moves nothing
			} else if x.want < 10 {
				want = "0123456789"[x.want : x.want+1]
			}
			Equal(t, t.Read(fd, 1), want, "what is read then")
		}})
	}
	for _, x := range []struct {
		name    string
		offset  int64
		n, want int
	}{
		{"whole", 0, 10, 10}, {"part", 3, 4, 4}, {"over-the-end", 8, 10, 2}, {"at-the-end", 10, 5, 0}, {"beyond-the-end", 1000, 5, 0}, {"nothing", 3, 0, 0},
	} {
		cases = append(cases, Case{"io_read/pread-" + x.name, 0, func(t *T) {
			const content = "0123456789"
			fd := t.Open(t.File("f", content), syscall.O_RDONLY, 0)
			t.Read(fd, 2)
			b := make([]byte, x.n)
			n, err := syscall.Pread(fd, b, x.offset)
			t.OK(err, "pread")
			Equal(t, n, x.want, "bytes")
			if n > 0 && x.want == n {
				Equal(t, string(b[:n]), content[x.offset:int(x.offset)+n], "content")
			}
			Equal(t, t.Read(fd, 1), "2", "what the pointer is at")
		}})
	}
	return append(cases,
		Case{"io_read/empty-file", 0, func(t *T) {
			Equal(t, t.Read(t.Open(t.File("f", ""), syscall.O_RDONLY, 0), 10), "", "content")
		}},
		Case{"io_read/zero-bytes", 0, func(t *T) {
			fd := t.Open(t.File("f", "content"), syscall.O_RDONLY, 0)
			n, err := syscall.Read(fd, nil)
			t.OK(err, "read")
			Equal(t, n, 0, "bytes")
			Equal(t, t.Read(fd, 3), "con", "what is read then")
		}},
		Case{"io_read/end-again-and-again", 0, func(t *T) {
			f := t.File("f", "abc")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			t.Read(fd, 3)
			for range 3 {
				Equal(t, t.Read(fd, 1), "", "at the end")
			}
			t.Write(t.Open(f, syscall.O_WRONLY|syscall.O_APPEND, 0), "def")
			Equal(t, t.Read(fd, 10), "def", "after it has grown")
		}},
		Case{"io_read/directory", 0, func(t *T) {
			_, err := syscall.Read(t.Open(t.dir, syscall.O_RDONLY, 0), make([]byte, 100))
			t.Want(err, "read", syscall.EISDIR)
		}},
		Case{"io_read/pread-negative", 0, func(t *T) {
			_, err := syscall.Pread(t.Open(t.File("f", "abc"), syscall.O_RDONLY, 0), make([]byte, 1), -5)
			t.Want(err, "pread", syscall.EINVAL)
		}},
		Case{"io_read/after-truncation", 0, func(t *T) {
			f := t.File("f", "0123456789")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			t.Read(fd, 6)
			t.OK(syscall.Truncate(f, 3), "truncate")
			Equal(t, t.Read(fd, 10), "", "beyond the end")
		}},
		Case{"io_write/pwrite-keeps-the-pointer", 0, func(t *T) {
			f := t.File("f", "0123456789")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.Read(fd, 2)
			_, err := syscall.Pwrite(fd, []byte("XY"), 5)
			t.OK(err, "pwrite")
			Equal(t, t.Read(fd, 1), "2", "what the pointer is at")
			t.Content(f, "01234XY789")
		}},
		Case{"io_write/pwrite-negative", 0, func(t *T) {
			f := t.File("f", "abc")
			_, err := syscall.Pwrite(t.Open(f, syscall.O_WRONLY, 0), []byte("x"), -5)
			t.Want(err, "pwrite", syscall.EINVAL)
			t.Content(f, "abc")
		}},
		Case{"io_write/zero-bytes", 0, func(t *T) {
			f := t.File("f", "abc")
			t.OK(syscall.UtimesNano(f, times(1e9, 1e9)), "utimens")
			fd := t.Open(f, syscall.O_WRONLY, 0)
			t.Seek(fd, 100, io.SeekStart)
			n, err := syscall.Write(fd, nil)
			t.OK(err, "write")
			Equal(t, n, 0, "bytes")
			t.Content(f, "abc")
			Equal(t, nano(t.Stat(f).Mtim), 1e9, "mtime")
		}},
		Case{"io_write/in-the-middle", 0, func(t *T) {
			f := t.File("f", "0123456789")
			fd := t.Open(f, syscall.O_WRONLY, 0)
			t.Seek(fd, 4, io.SeekStart)
			t.Write(fd, "XY")
			t.Write(fd, "Z")
			t.Content(f, "0123XYZ789")
		}},
		Case{"io_write/over-the-end", 0, func(t *T) {
			f := t.File("f", "0123456789")
			fd := t.Open(f, syscall.O_WRONLY, 0)
			t.Seek(fd, 8, io.SeekStart)
			t.Write(fd, "XYZ")
			t.Content(f, "01234567XYZ")
		}},
		Case{"io_write/sparse", 0, func(t *T) {
			f := t.Path("f")
			fd := t.Open(f, syscall.O_RDWR|syscall.O_CREAT, 0o644)
			const at = 1 << 20
			_, err := syscall.Pwrite(fd, []byte("end"), at)
			t.OK(err, "pwrite")
			st := t.Fstat(fd)
			Equal(t, st.Size, at+3, "size")
			if int64(st.Blocks)*512 > 1<<18 {
				t.Errorf("a file of 3 bytes after a hole has %d blocks", st.Blocks)
			}
			got, err := os.ReadFile(f)
			t.OK(err, "reading")
			t.sameBytes(got, append(make([]byte, at), "end"...), "content")
		}},
		Case{"io_write/sparse-filled-from-behind", 0, func(t *T) {
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			const n, step = 300_000, 7000
			want := pattern(n)
			for at := (n - 1) / step * step; at >= 0; at -= step {
				_, err := syscall.Pwrite(fd, want[at:min(at+step, n)], int64(at))
				t.OK(err, "pwrite")
			}
			t.sameBytes([]byte(t.Read(fd, n+1)), want, "content")
		}},
		Case{"io_write/hole-between", 0, func(t *T) {
			f := t.File("f", "start")
			fd := t.Open(f, syscall.O_WRONLY, 0)
			t.Seek(fd, 10_000, io.SeekStart)
			t.Write(fd, "end")
			t.Content(f, "start"+strings.Repeat("\x00", 9995)+"end")
		}},
		Case{"io_write/no-old-bytes-in-holes", 0, func(t *T) {
			// What was cut off must not come back.
			f := t.Path("f")
			fd := t.Open(f, syscall.O_RDWR|syscall.O_CREAT, 0o644)
			t.Write(fd, strings.Repeat("x", 10_000))
			t.OK(syscall.Ftruncate(fd, 100), "truncate")
			_, err := syscall.Pwrite(fd, []byte("end"), 9000)
			t.OK(err, "pwrite")
			t.Content(f, strings.Repeat("x", 100)+strings.Repeat("\x00", 8900)+"end")
		}},
		Case{"io_write/at-4-GB", LargeFiles, func(t *T) {
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			const at = 1<<32 - 2
			_, err := syscall.Pwrite(fd, []byte("abcd"), at)
			t.OK(err, "pwrite")
			Equal(t, t.Fstat(fd).Size, at+4, "size")
			b := make([]byte, 6)
			n, err := syscall.Pread(fd, b, at-2)
			t.OK(err, "pread")
			Equal(t, string(b[:n]), "\x00\x00abcd", "content")
			Equal(t, t.Seek(fd, -1, io.SeekEnd), at+3, "pointer")
			Equal(t, t.Read(fd, 5), "d", "last byte")
		}},
		Case{"io_write/far-too-far", 0, func(t *T) {
			fd := t.Open(t.File("f", "abc"), syscall.O_RDWR, 0)
			_, err := syscall.Pwrite(fd, []byte("x"), 1<<63-1)
			t.Want(err, "pwrite", syscall.EFBIG, syscall.EINVAL, syscall.EOVERFLOW, syscall.ENOSPC)
			Equal(t, t.Fstat(fd).Size, 3, "size")
		}},
		Case{"io_write/append", 0, func(t *T) {
			f := t.File("f", "abc")
			fd := t.Open(f, syscall.O_WRONLY|syscall.O_APPEND, 0)
			t.Write(fd, "def")
			t.Seek(fd, 0, io.SeekStart)
			t.Write(fd, "ghi")
			t.Content(f, "abcdefghi")
		}},
		Case{"io_write/append-pointer", 0, func(t *T) {
			fd := t.Open(t.File("f", "abc"), syscall.O_RDWR|syscall.O_APPEND, 0)
			Equal(t, t.Seek(fd, 0, io.SeekCurrent), 0, "pointer at first")
			Equal(t, t.Read(fd, 2), "ab", "what is read at first")
			t.Write(fd, "def")
			Equal(t, t.Seek(fd, 0, io.SeekCurrent), 6, "pointer after writing")
			Equal(t, t.Read(fd, 2), "", "what is read then")
		}},
		Case{"io_write/append-after-others", 0, func(t *T) {
			f := t.File("f", "")
			a, b := t.Open(f, syscall.O_WRONLY|syscall.O_APPEND, 0), t.Open(f, syscall.O_WRONLY|syscall.O_APPEND, 0)
			t.Write(a, "1")
			t.Write(b, "2")
			t.Write(a, "3")
			t.OK(syscall.Truncate(f, 1), "truncate")
			t.Write(b, "4")
			t.Content(f, "14")
		}},
		Case{"io_write/append-at-once", 0, func(t *T) {
			f := t.File("f", "")
			const writers, lines = 4, 100
			var wg sync.WaitGroup
			for w := range writers {
				fd := t.Open(f, syscall.O_WRONLY|syscall.O_APPEND, 0)
				wg.Go(func() {
					for i := range lines {
						line := fmt.Sprintf("%d %03d\n", w, i)
						if n, err := syscall.Write(fd, []byte(line)); n != len(line) {
							t.Errorf("write: %d, %v", n, err)
						}
					}
				})
			}
			wg.Wait()
			got, err := os.ReadFile(f)
			t.OK(err, "reading")
			next := make([]int, writers)
			for _, line := range bytes.Split(bytes.TrimSuffix(got, []byte("\n")), []byte("\n")) {
				var w, i int
				if _, err := fmt.Sscanf(string(line), "%d %d", &w, &i); err != nil || w >= writers || i != next[w] {
					t.Fatalf("line %q, want %d of writer %d", line, next[w], w)
				}
				next[w]++
			}
			for w, n := range next {
				Equal(t, n, lines, "lines of writer %d", w)
			}
		}},
		Case{"io_write/pointer-is-shared-by-dup", 0, func(t *T) {
			f := t.File("f", "0123456789")
			a := t.Open(f, syscall.O_RDWR, 0)
			b, err := syscall.Dup(a)
			t.OK(err, "dup")
			t.Cleanup(func() { syscall.Close(b) })
			Equal(t, t.Read(a, 3), "012", "the first reads")
			Equal(t, t.Read(b, 3), "345", "the second reads")
			t.Seek(b, 8, io.SeekStart)
			Equal(t, t.Read(a, 3), "89", "the first reads after the second has moved")
			syscall.Close(a)
			t.Seek(b, 0, io.SeekStart)
			Equal(t, t.Read(b, 1), "0", "the second reads after the first has closed")
		}},
		Case{"io_write/seen-by-others-at-once", 0, func(t *T) {
			f := t.File("f", "")
			w, r := t.Open(f, syscall.O_WRONLY, 0), t.Open(f, syscall.O_RDONLY, 0)
			for i := range 50 {
				line := fmt.Sprintf("line %d\n", i)
				t.Write(w, line)
				Equal(t, t.Read(r, len(line)), line, "what the other reads")
			}
		}},
		Case{"io_write/fsync", 0, func(t *T) {
			fd := t.Open(t.File("f", ""), syscall.O_WRONLY, 0)
			t.Write(fd, "content")
			t.OK(syscall.Fsync(fd), "fsync")
			t.OK(syscall.Fsync(t.Open(t.dir, syscall.O_RDONLY, 0)), "fsync of a directory")
		}},
		Case{"io_write/as-a-model-says", 0, func(t *T) {
			// Random reads, writes and truncations against a slice.
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			const most = 60_000
			rnd := rand.New(rand.NewPCG(1, 2))
			var model []byte
			for i := range 400 {
				at := rnd.IntN(most)
				switch n := rnd.IntN(9000); rnd.IntN(5) {
				case 0, 1:
					data := pattern(n + i)[i:]
					if end := at + n; end > len(model) {
						model = append(model, make([]byte, end-len(model))...)
					}
					copy(model[at:], data)
					m, err := syscall.Pwrite(fd, data, int64(at))
					if m != n {
						t.Fatalf("step %d: pwrite of %d at %d: %d, %v", i, n, at, m, err)
					}
					if n == 0 { // which makes no file larger
						model = model[:min(len(model), int(t.Fstat(fd).Size))]
					}
				case 2, 3:
					b := make([]byte, n)
					m, err := syscall.Pread(fd, b, int64(at))
					t.OK(err, "step %d: pread", i)
					want := model[min(at, len(model)):min(at+n, len(model))]
					t.sameBytes(b[:m], want, fmt.Sprintf("step %d: %d at %d of %d", i, n, at, len(model)))
				case 4:
					t.OK(syscall.Ftruncate(fd, int64(at)), "step %d: truncate", i)
					if at <= len(model) {
						model = model[:at]
					} else {
						model = append(model, make([]byte, at-len(model))...)
					}
					// What is beyond the end must be zero when it grows again.
					clear(model[len(model):cap(model)])
				}
				Equal(t, t.Fstat(fd).Size, int64(len(model)), "step %d: size", i)
				if t.status == Failed {
					return
				}
			}
		}},
	)
}

func sizeCases() []Case {
	var cases []Case
	for _, x := range []struct {
		name string
		from int
		to   int64
	}{
		{"to-zero", 10_000, 0}, {"same", 100, 100}, {"shrink", 10_000, 5_000}, {"shrink-to-a-page", 10_000, 4096}, {"shrink-by-one", 4097, 4096},
		{"grow", 100, 10_000}, {"grow-from-nothing", 0, 4096}, {"grow-by-one", 4096, 4097}, {"grow-within-a-page", 10, 20}, {"grow-much", 10, 1 << 20},
	} {
		cases = append(cases, Case{"file_set_size/" + x.name, 0, func(t *T) {
			data := pattern(x.from)
			f := t.File("f", string(data))
			t.OK(syscall.Truncate(f, x.to), "truncate")
			Equal(t, t.Stat(f).Size, x.to, "size")
			got, err := os.ReadFile(f)
			t.OK(err, "reading")
			want := make([]byte, x.to)
			copy(want, data)
			t.sameBytes(got, want, "content")
		}})
	}
	return append(cases,
		Case{"file_set_size/shrink-and-grow-gives-zeros", 0, func(t *T) {
			f := t.File("f", strings.Repeat("x", 9000))
			t.OK(syscall.Truncate(f, 10), "shrink")
			t.OK(syscall.Truncate(f, 9000), "grow")
			t.Content(f, strings.Repeat("x", 10)+strings.Repeat("\x00", 8990))
		}},
		Case{"file_set_size/negative", 0, func(t *T) {
			f := t.File("f", "content")
			t.Want(syscall.Truncate(f, -1), "truncate", syscall.EINVAL)
			t.Content(f, "content")
		}},
		Case{"file_set_size/directory", 0, func(t *T) {
			t.Want(syscall.Truncate(t.Dir("d"), 0), "truncate", syscall.EISDIR)
		}},
		Case{"file_set_size/descriptor-to-read", 0, func(t *T) {
			f := t.File("f", "content")
			t.Want(syscall.Ftruncate(t.Open(f, syscall.O_RDONLY, 0), 0), "ftruncate", syscall.EINVAL, syscall.EBADF)
			t.Content(f, "content")
		}},
		Case{"file_set_size/keeps-the-pointer", 0, func(t *T) {
			f := t.File("f", "0123456789")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.Seek(fd, 8, io.SeekStart)
			t.OK(syscall.Ftruncate(fd, 2), "truncate")
			Equal(t, t.Seek(fd, 0, io.SeekCurrent), 8, "pointer")
			t.Write(fd, "X")
			t.Content(f, "01\x00\x00\x00\x00\x00\x00X")
		}},
		Case{"file_set_size/grow-has-no-blocks", 0, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Truncate(f, 50<<20), "truncate")
			if st := t.Stat(f); int64(st.Blocks)*512 > 1<<20 {
				t.Errorf("50 MB of nothing have %d blocks", st.Blocks)
			}
		}},
		Case{"file_set_size/shrink-frees-blocks", 0, func(t *T) {
			f := t.File("f", strings.Repeat("x", 1<<20))
			t.OK(syscall.Fsync(t.Open(f, syscall.O_RDONLY, 0)), "fsync")
			before := t.Stat(f).Blocks
			t.OK(syscall.Truncate(f, 4096), "truncate")
			if now := t.Stat(f).Blocks; now >= before {
				t.Errorf("%d blocks before, %d after", before, now)
			}
		}},
		Case{"file_set_size/changes-times", 0, func(t *T) {
			f := t.File("f", "content")
			t.OK(syscall.UtimesNano(f, times(1e9, 1e9)), "utimens")
			t.OK(syscall.Truncate(f, 3), "truncate")
			if nano(t.Stat(f).Mtim) == 1e9 {
				t.Errorf("mtime has not changed")
			}
		}},
		Case{"file_set_size/to-5-GB", LargeFiles, func(t *T) {
			f := t.File("f", "abc")
			t.OK(syscall.Truncate(f, 5<<30), "truncate")
			Equal(t, t.Stat(f).Size, 5<<30, "size")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			b := make([]byte, 4)
			n, err := syscall.Pread(fd, b, 5<<30-2)
			t.OK(err, "pread")
			Equal(t, string(b[:n]), "\x00\x00", "the end")
		}},
	)
}
