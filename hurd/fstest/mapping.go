//go:build linux || hurd

package fstest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
)

func mapCases() []Case {
	const (
		rd = syscall.PROT_READ
		rw = syscall.PROT_READ | syscall.PROT_WRITE
	)
	page := os.Getpagesize()
	// mmap maps the beginning of a file until the case ends.
	mmap := func(t *T, fd, length, prot, flags int) []byte {
		b, err := syscall.Mmap(fd, 0, length, prot, flags)
		t.OK(err, "mmap")
		t.Cleanup(func() { syscall.Munmap(b) })
		return b
	}
	file := func(t *T, n int) (fd int, content []byte) {
		content = pattern(n)
		return t.Open(t.File("f", string(content)), syscall.O_RDWR, 0), content
	}
	cases := []Case{}
	for _, n := range []int{1, 100, page - 1, page, page + 1, 3 * page, 64*page + 5} {
		cases = append(cases, Case{fmt.Sprintf("io_map/read-%d-bytes", n), Mapping, func(t *T) {
			fd, want := file(t, n)
			t.sameBytes(mmap(t, fd, n, rd, syscall.MAP_SHARED), want, "shared")
			t.sameBytes(mmap(t, fd, n, rd, syscall.MAP_PRIVATE), want, "private")
		}})
	}
	cases = append(cases,
		Case{"io_map/write-through-mapping-seen-by-read", Mapping, func(t *T) {
			fd, want := file(t, 2*page)
			m := mmap(t, fd, 2*page, rw, syscall.MAP_SHARED)
			copy(m[page-3:], "across")
			copy(want[page-3:], "across")
			got := make([]byte, 2*page)
			_, err := syscall.Pread(fd, got, 0)
			t.OK(err, "pread")
			t.sameBytes(got, want, "read")
		}},
		Case{"io_map/write-seen-by-mapping", Mapping, func(t *T) {
			fd, want := file(t, 2*page)
			m := mmap(t, fd, 2*page, rd, syscall.MAP_SHARED)
			t.sameBytes(m, want, "at first")
			_, err := syscall.Pwrite(fd, []byte("across"), int64(page-3))
			t.OK(err, "pwrite")
			copy(want[page-3:], "across")
			t.sameBytes(m, want, "after writing")
		}},
		Case{"io_map/write-seen-by-mapping-not-yet-touched", Mapping, func(t *T) {
			fd, want := file(t, 2*page)
			m := mmap(t, fd, 2*page, rd, syscall.MAP_SHARED)
			_, err := syscall.Pwrite(fd, []byte("new"), 0)
			t.OK(err, "pwrite")
			copy(want, "new")
			t.sameBytes(m, want, "content")
		}},
		Case{"io_map/back-and-forth", Mapping, func(t *T) {
			fd, _ := file(t, page)
			m := mmap(t, fd, page, rw, syscall.MAP_SHARED)
			b := make([]byte, 1)
			for i := range 100 {
				m[i] = byte(i)
				_, err := syscall.Pread(fd, b, int64(i))
				t.OK(err, "pread")
				Equal(t, b[0], byte(i), "what is read of what was stored")
				_, err = syscall.Pwrite(fd, []byte{byte(i + 1)}, int64(i))
				t.OK(err, "pwrite")
				Equal(t, m[i], byte(i+1), "what is in memory of what was written")
			}
		}},
		Case{"io_map/at-random", Mapping, func(t *T) {
			// A few pages that are read, written, cut and extended by calls, and
			// read and written in memory, by one mapping and another.
			const pages, steps = 3, 600
			fd, content := file(t, page)
			m := mmap(t, fd, pages*page, rw, syscall.MAP_SHARED)
			again := mmap(t, fd, pages*page, rd, syscall.MAP_SHARED)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range steps {
				at, n, c := r.IntN(pages*page), 1+r.IntN(page+100), byte(1+r.IntN(255))
				switch op := r.IntN(8); {
				case op < 2:
					b := bytes.Repeat([]byte{c}, min(n, pages*page-at))
					_, err := syscall.Pwrite(fd, b, int64(at))
					t.OK(err, "step %d: pwrite", i)
					if grow := at + len(b) - len(content); grow > 0 {
						content = append(content, make([]byte, grow)...)
					}
					copy(content[at:], b)
				case op == 2:
					b := make([]byte, n)
					k, err := syscall.Pread(fd, b, int64(at))
					t.OK(err, "step %d: pread", i)
					t.sameBytes(b[:k], content[min(at, len(content)):min(at+n, len(content))], fmt.Sprintf("step %d: read", i))
				case op == 3 && r.IntN(3) == 0:
					t.OK(syscall.Ftruncate(fd, int64(at)), "step %d: ftruncate", i)
					content = append(content[:min(at, len(content))], make([]byte, max(at-len(content), 0))...)
				case at >= len(content): // what is there is nobody's business
				case op < 6:
					m[at], content[at] = c, c
				default:
					Equal(t, m[at], content[at], "step %d: memory at %d", i, at)
					Equal(t, again[at], content[at], "step %d: memory again at %d", i, at)
				}
			}
		}},
		Case{"io_map/private-write-is-not-seen", Mapping, func(t *T) {
			fd, want := file(t, page)
			m := mmap(t, fd, page, rw, syscall.MAP_PRIVATE)
			copy(m, "mine")
			got := make([]byte, page)
			_, err := syscall.Pread(fd, got, 0)
			t.OK(err, "pread")
			t.sameBytes(got, want, "file")
			Equal(t, string(m[:4]), "mine", "memory")
		}},
		Case{"io_map/private-page-keeps-what-was-stored", Mapping, func(t *T) {
			fd, _ := file(t, page)
			m := mmap(t, fd, page, rw, syscall.MAP_PRIVATE)
			copy(m, "mine")
			_, err := syscall.Pwrite(fd, []byte("theirs"), 0)
			t.OK(err, "pwrite")
			Equal(t, string(m[:4]), "mine", "memory")
		}},
		Case{"io_map/private-of-a-file-to-read", Mapping, func(t *T) {
			f := t.File("f", "content")
			m := mmap(t, t.Open(f, syscall.O_RDONLY, 0), 7, rw, syscall.MAP_PRIVATE)
			copy(m, "CON")
			Equal(t, string(m), "CONtent", "memory")
			t.Content(f, "content")
		}},
		Case{"io_map/two-mappings-are-one", Mapping, func(t *T) {
			fd, _ := file(t, page)
			a, b := mmap(t, fd, page, rw, syscall.MAP_SHARED), mmap(t, fd, page, rw, syscall.MAP_SHARED)
			a[5] = 'x'
			Equal(t, b[5], 'x', "the other mapping")
		}},
		Case{"io_map/two-opens-are-one", Mapping, func(t *T) {
			fd, _ := file(t, page)
			a := mmap(t, fd, page, rw, syscall.MAP_SHARED)
			b := mmap(t, t.Open(t.Path("f"), syscall.O_RDONLY, 0), page, rd, syscall.MAP_SHARED)
			a[5] = 'x'
			Equal(t, b[5], 'x', "the other mapping")
		}},
		Case{"io_map/tail-of-the-last-page-is-zero", Mapping, func(t *T) {
			fd, _ := file(t, 10)
			m := mmap(t, fd, page, rd, syscall.MAP_SHARED)
			t.sameBytes(m[10:], make([]byte, page-10), "beyond the end")
		}},
		Case{"io_map/tail-is-not-written", Mapping, func(t *T) {
			fd, want := file(t, 10)
			m := mmap(t, fd, page, rw, syscall.MAP_SHARED)
			copy(m[8:], "0123456789")
			copy(want[8:], "01")
			got, err := os.ReadFile(t.Path("f"))
			t.OK(err, "reading")
			t.sameBytes(got, want, "file")
			Equal(t, t.Fstat(fd).Size, 10, "size")
		}},
		Case{"io_map/after-close", Mapping, func(t *T) {
			fd, want := file(t, page)
			m := mmap(t, fd, page, rw, syscall.MAP_SHARED)
			syscall.Close(fd)
			t.sameBytes(m, want, "content")
			copy(m, "late")
			copy(want, "late")
			got, err := os.ReadFile(t.Path("f"))
			t.OK(err, "reading")
			t.sameBytes(got, want, "file")
		}},
		Case{"io_map/after-unlink", Mapping, func(t *T) {
			fd, want := file(t, 2*page)
			m := mmap(t, fd, 2*page, rw, syscall.MAP_SHARED)
			t.OK(syscall.Unlink(t.Path("f")), "unlink")
			syscall.Close(fd)
			t.sameBytes(m, want, "content")
			m[0]++
		}},
		Case{"io_map/after-unmapping", Mapping, func(t *T) {
			fd, want := file(t, 4*page)
			m, err := syscall.Mmap(fd, 0, 4*page, rw, syscall.MAP_SHARED)
			t.OK(err, "mmap")
			copy(m[3*page:], "stays")
			t.OK(syscall.Munmap(m), "munmap")
			copy(want[3*page:], "stays")
			got, err := os.ReadFile(t.Path("f"))
			t.OK(err, "reading")
			t.sameBytes(got, want, "file")
		}},
		Case{"io_map/grown-file", Mapping, func(t *T) {
			fd, _ := file(t, 10)
			m := mmap(t, fd, 2*page, rd, syscall.MAP_SHARED)
			Equal(t, m[9], pattern(10)[9], "last byte at first")
			_, err := syscall.Pwrite(fd, []byte("new"), int64(page+5))
			t.OK(err, "pwrite")
			Equal(t, string(m[page+5:page+8]), "new", "what has been added")
			Equal(t, m[10], 0, "what is between")
		}},
		Case{"io_map/shrunk-and-grown-file", Mapping, func(t *T) {
			fd, _ := file(t, page)
			m := mmap(t, fd, page, rw, syscall.MAP_SHARED)
			copy(m[200:], "old")
			t.OK(syscall.Ftruncate(fd, 100), "shrink")
			t.OK(syscall.Ftruncate(fd, int64(page)), "grow")
			t.sameBytes(m[100:], make([]byte, page-100), "what was cut off")
		}},
		Case{"io_map/hole", Mapping, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Truncate(f, int64(8*page)), "truncate")
			fd := t.Open(f, syscall.O_RDWR, 0)
			m := mmap(t, fd, 8*page, rw, syscall.MAP_SHARED)
			t.sameBytes(m[3*page:4*page], make([]byte, page), "hole")
			m[5*page] = 'x'
			b := make([]byte, 1)
			_, err := syscall.Pread(fd, b, int64(5*page))
			t.OK(err, "pread")
			Equal(t, b[0], 'x', "what is read")
		}},
		Case{"io_map/read-into-the-mapping-of-another", Mapping, func(t *T) {
			// The server gets memory that another of its objects backs.
			fd, want := file(t, 2*page)
			t.File("g", strings.Repeat("\x00", 2*page))
			g := t.Open(t.Path("g"), syscall.O_RDWR, 0)
			m := mmap(t, g, 2*page, rw, syscall.MAP_SHARED)
			n, err := syscall.Pread(fd, m, 0)
			t.OK(err, "pread")
			t.sameBytes(m[:n], want[:n], "memory")
			n, err = syscall.Pwrite(fd, m[:page], int64(page))
			t.OK(err, "pwrite")
			Equal(t, n, page, "bytes written")
		}},
		Case{"io_map/size-stays", Mapping, func(t *T) {
			fd, _ := file(t, 100)
			mmap(t, fd, page, rw, syscall.MAP_SHARED)[50] = 1
			Equal(t, t.Fstat(fd).Size, 100, "size")
		}},
		Case{"io_map/many-pages", Mapping, func(t *T) {
			const pages = 300
			f := t.File("f", "")
			t.OK(syscall.Truncate(f, int64(pages*page)), "truncate")
			fd := t.Open(f, syscall.O_RDWR, 0)
			m := mmap(t, fd, pages*page, rw, syscall.MAP_SHARED)
			for i := range pages {
				copy(m[i*page+i:], fmt.Sprint("page ", i))
			}
			b := make([]byte, 20)
			for i := range pages {
				want := fmt.Sprint("page ", i)
				_, err := syscall.Pread(fd, b[:len(want)], int64(i*page+i))
				t.OK(err, "pread")
				Equal(t, string(b[:len(want)]), want, "page %d", i)
			}
		}},
	)
	for _, x := range []struct {
		name              string
		open, prot, flags int
		length            int
		want              []syscall.Errno
	}{
		{"shared-write-of-descriptor-to-read", syscall.O_RDONLY, rw, syscall.MAP_SHARED, 10, denied},
		{"read-of-descriptor-to-write", syscall.O_WRONLY, rd, syscall.MAP_SHARED, 10, []syscall.Errno{syscall.EACCES, syscall.ENODEV}},
		{"no-length", syscall.O_RDWR, rd, syscall.MAP_SHARED, 0, []syscall.Errno{syscall.EINVAL}},
	} {
		cases = append(cases, Case{"io_map/" + x.name, Mapping, func(t *T) {
			fd := t.Open(t.File("f", "0123456789"), x.open, 0)
			b, err := syscall.Mmap(fd, 0, x.length, x.prot, x.flags)
			if err == nil {
				syscall.Munmap(b)
			}
			t.Want(err, "mmap", x.want...)
		}})
	}
	cases = append(cases, Case{"io_map/directory", Mapping, func(t *T) {
		b, err := syscall.Mmap(t.Open(t.dir, syscall.O_RDONLY, 0), 0, 10, rd, syscall.MAP_SHARED)
		if err == nil {
			syscall.Munmap(b)
		}
		t.Want(err, "mmap", syscall.ENODEV, syscall.EACCES, syscall.EISDIR, syscall.EINVAL, syscall.EOPNOTSUPP)
	}})
	return cases
}
