//go:build linux || hurd

package fstest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
)

func readdirCases() []Case {
	// list reads a directory in small steps and calls step between them.
	list := func(t *T, path string, step func(soFar []string)) []string {
		f, err := os.Open(path)
		t.OK(err, "open")
		defer f.Close()
		var names []string
		for {
			some, err := f.Readdirnames(20)
			names = append(names, some...)
			if err == io.EOF {
				return names
			}
			t.OK(err, "readdir")
			if step != nil {
				step(names)
			}
		}
	}
	// noneTwice reports names that come more than once.
	noneTwice := func(t *T, names []string) {
		seen := make(map[string]bool)
		for _, n := range names {
			if seen[n] {
				t.Errorf("%q comes twice", n)
			}
			seen[n] = true
		}
	}
	// crowd makes n files with names long enough that a directory's content
	// does not fit one answer.
	name := func(i int) string { return fmt.Sprintf("%04d-%s", i, strings.Repeat("x", 60)) }
	crowd := func(t *T, n int) {
		for i := range n {
			t.File(name(i), "")
		}
	}
	const many = 250
	var cases []Case
	for _, n := range []int{0, 1, 2, 10, 100, 500} {
		cases = append(cases, Case{fmt.Sprintf("dir_readdir/%d-files", n), 0, func(t *T) {
			var want []string
			for i := range n {
				t.File(fmt.Sprintf("%04d", i), "")
				want = append(want, fmt.Sprintf("%04d", i))
			}
			got := list(t, t.dir, nil)
			noneTwice(t, got)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %d names, want %d", len(got), n)
			}
		}})
	}
	return append(cases,
		Case{"dir_readdir/dots", 0, func(t *T) {
			// Read without package os, which leaves them out.
			d := t.Dir("d")
			fd := t.Open(d, syscall.O_RDONLY, 0)
			got := make(map[string]uint64)
			buf := make([]byte, 4096)
			for {
				n, err := syscall.ReadDirent(fd, buf)
				t.OK(err, "readdir")
				if n == 0 {
					break
				}
				for b := buf[:n]; len(b) > 0; {
					ino, reclen, name := direntOf(b)
					got[name] = ino
					if reclen <= 0 {
						t.Fatalf("an entry of length %d", reclen)
					}
					b = b[reclen:]
				}
			}
			Equal(t, len(got), 2, "entries of an empty directory")
			Equal(t, got["."], uint64(t.Stat(d).Ino), "number of .")
			Equal(t, got[".."], uint64(t.Stat(t.dir).Ino), "number of ..")
		}},
		Case{"dir_readdir/numbers", 0, func(t *T) {
			t.File("f", "")
			t.Dir("d")
			t.Link("f", "l")
			fd := t.Open(t.dir, syscall.O_RDONLY, 0)
			buf := make([]byte, 8192)
			n, err := syscall.ReadDirent(fd, buf)
			t.OK(err, "readdir")
			found := 0
			for b := buf[:n]; len(b) > 0; {
				ino, reclen, name := direntOf(b)
				if !strings.HasPrefix(name, ".") {
					Equal(t, ino, uint64(t.Lstat(t.Path(name)).Ino), "number of %s", name)
					found++
				}
				b = b[reclen:]
			}
			Equal(t, found, 3, "entries")
		}},
		Case{"dir_readdir/types", 0, func(t *T) {
			for _, x := range things {
				if x.needs() == 0 {
					x.make(t, x.name)
				}
			}
			entries, err := os.ReadDir(t.dir)
			t.OK(err, "readdir")
			for _, e := range entries {
				info, err := os.Lstat(t.Path(e.Name()))
				t.OK(err, "lstat")
				Equal(t, e.Type(), info.Mode().Type(), "type of %s", e.Name())
			}
		}},
		Case{"dir_readdir/longest-names", 0, func(t *T) {
			var want []string
			for _, c := range "abcdefghijklmnopqrst" {
				n := strings.Repeat(string(c), 255)
				t.File(n, "")
				want = append(want, n)
			}
			t.WantNames(t.dir, want...)
		}},
		Case{"dir_readdir/twice", 0, func(t *T) {
			crowd(t, 50)
			fd, err := os.Open(t.dir)
			t.OK(err, "open")
			defer fd.Close()
			first, err := fd.Readdirnames(-1)
			t.OK(err, "readdir")
			t.File("new", "")
			_, err = fd.Seek(0, io.SeekStart)
			t.OK(err, "rewind")
			second, err := fd.Readdirnames(-1)
			t.OK(err, "readdir")
			Equal(t, len(first), 50, "names at first")
			Equal(t, len(second), 51, "names after rewinding")
		}},
		Case{"dir_readdir/two-readers", 0, func(t *T) {
			crowd(t, 200)
			var inner []string
			outer := list(t, t.dir, func(soFar []string) {
				if inner == nil {
					inner = list(t, t.dir, nil)
				}
			})
			Equal(t, len(outer), 200, "names of the one")
			Equal(t, len(inner), 200, "names of the other")
		}},
		Case{"dir_readdir/while-removing-what-was-read", 0, func(t *T) {
			// As rm -r does.
			crowd(t, many)
			removed := 0
			got := list(t, t.dir, func(soFar []string) {
				for ; removed < len(soFar); removed++ {
					t.OK(syscall.Unlink(t.Path(soFar[removed])), "unlink")
				}
			})
			noneTwice(t, got)
			Equal(t, len(got), many, "names")
		}},
		Case{"dir_readdir/while-removing-others", 0, func(t *T) {
			crowd(t, many)
			i := 0
			got := list(t, t.dir, func([]string) {
				// The even ones go, from the front; the odd ones stay.
				for range 10 {
					if i < many {
						t.OK(syscall.Unlink(t.Path(name(i))), "unlink")
						i += 2
					}
				}
			})
			noneTwice(t, got)
			for i := 1; i < many; i += 2 {
				if !slices.Contains(got, name(i)) {
					t.Errorf("%d, which stays, is not there", i)
				}
			}
		}},
		Case{"dir_readdir/while-creating", 0, func(t *T) {
			crowd(t, many)
			n := 0
			got := list(t, t.dir, func([]string) {
				if n < 150 {
					t.File(fmt.Sprintf("new-%d", n), "")
					n++
				}
			})
			noneTwice(t, got)
			for i := range many {
				if !slices.Contains(got, name(i)) {
					t.Errorf("%d, which stays, is not there", i)
				}
			}
		}},
		Case{"dir_readdir/while-renaming-away", 0, func(t *T) {
			crowd(t, many)
			d := t.dir + ".away"
			t.OK(syscall.Mkdir(d, 0o755), "mkdir")
			defer os.RemoveAll(d)
			i := many - 1
			got := list(t, t.dir, func([]string) {
				if i > many/2 {
					t.OK(syscall.Rename(t.Path(name(i)), d+"/"+name(i)), "rename")
					i--
				}
			})
			noneTwice(t, got)
			for i := range many / 2 {
				if !slices.Contains(got, name(i)) {
					t.Errorf("%d, which stays, is not there", i)
				}
			}
		}},
		Case{"dir_readdir/removed-are-gone", 0, func(t *T) {
			crowd(t, 20)
			for i := range 10 {
				t.OK(syscall.Unlink(t.Path(name(2*i))), "unlink")
			}
			Equal(t, len(list(t, t.dir, nil)), 10, "names")
		}},
		Case{"dir_readdir/unlinked-directory", 0, func(t *T) {
			d := t.Dir("d")
			f, err := os.Open(d)
			t.OK(err, "open")
			defer f.Close()
			t.OK(syscall.Rmdir(d), "rmdir")
			names, err := f.Readdirnames(-1)
			t.Want(err, "readdir", 0, syscall.ENOENT)
			Equal(t, len(names), 0, "names")
		}},
		Case{"dir_readdir/of-a-file", 0, func(t *T) {
			fd := t.Open(t.File("f", "content"), syscall.O_RDONLY, 0)
			_, err := syscall.ReadDirent(fd, make([]byte, 4096))
			t.Want(err, "readdir", syscall.ENOTDIR)
		}},
		Case{"dir_readdir/directory-shrinks-and-grows", 0, func(t *T) {
			for round := range 3 {
				crowd(t, 100)
				Equal(t, len(list(t, t.dir, nil)), 100, "names in round %d", round)
				for i := range 100 {
					t.OK(syscall.Unlink(t.Path(name(i))), "unlink")
				}
				Equal(t, len(list(t, t.dir, nil)), 0, "names after round %d", round)
			}
		}},
	)
}
