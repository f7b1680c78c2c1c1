//go:build linux || hurd

package fstest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
)

// deep makes directories below each other until the path has n bytes, and
// returns the path. The last is a file.
func deep(t *T, n int) string {
	const step = 100
	path := t.dir
	for n-len(path) > 2*step {
		path += "/" + strings.Repeat("d", step-1)
		t.OK(syscall.Mkdir(path, 0o755), "mkdir of a path of %d bytes", len(path))
	}
	path += "/" + strings.Repeat("f", n-len(path)-1)
	return path
}

func lookupCases() []Case {
	// A way is a path to what is there, made by setup, and what opening it
	// for reading says.
	type way struct {
		name  string
		setup func(t *T) string
		want  []syscall.Errno
	}
	ok := []syscall.Errno{0}
	ways := []way{
		{"file", func(t *T) string { return t.File("f", "x") }, ok},
		{"directory", func(t *T) string { return t.Dir("d") }, ok},
		{"slash-after-directory", func(t *T) string { return t.Dir("d") + "/" }, ok},
		{"slashes-after-directory", func(t *T) string { return t.Dir("d") + "////" }, ok},
		{"slash-after-file", func(t *T) string { return t.File("f", "") + "/" }, []syscall.Errno{syscall.ENOTDIR}},
		{"slash-after-nothing", func(t *T) string { return t.Path("no/") }, []syscall.Errno{syscall.ENOENT}},
		{"double-slash", func(t *T) string { t.Dir("d"); t.File("d/f", ""); return t.Path("d//f") }, ok},
		{"many-slashes", func(t *T) string { t.Dir("d"); t.File("d/f", ""); return "///" + t.Path("d//////f") }, ok},
		{"dot", func(t *T) string { return t.Path(".") }, ok},
		{"dot-inside", func(t *T) string { t.Dir("d"); t.File("d/f", ""); return t.Path("d/././f") }, ok},
		{"dot-after-file", func(t *T) string { return t.File("f", "") + "/." }, []syscall.Errno{syscall.ENOTDIR}},
		{"dotdot", func(t *T) string { t.Dir("d"); t.File("f", ""); return t.Path("d/../f") }, ok},
		{"dotdot-after-file", func(t *T) string { t.File("g", ""); return t.File("f", "") + "/../g" }, []syscall.Errno{syscall.ENOTDIR}},
		{"dotdot-after-nothing", func(t *T) string { t.File("g", ""); return t.Path("no/../g") }, []syscall.Errno{syscall.ENOENT}},
		{"dotdot-at-the-end", func(t *T) string { t.Dir("d"); return t.Path("d/..") }, ok},
		{"dotdot-through-a-link", func(t *T) string {
			// The parent is that of the directory, not of the link.
			t.Dir("d")
			t.Dir("d/e")
			t.File("d/f", "")
			t.Link("d/e", "l")
			return t.Path("l/../f")
		}, ok},
		{"three-dots", func(t *T) string { return t.File("...", "") }, ok},
		{"hidden", func(t *T) string { return t.File(".f", "") }, ok},
		{"space", func(t *T) string { return t.File(" a b ", "") }, ok},
		{"newline", func(t *T) string { return t.File("a\nb", "") }, ok},
		{"backslash", func(t *T) string { return t.File(`a\b`, "") }, ok},
		{"utf-8", func(t *T) string { return t.File("größe-日本", "") }, ok},
		{"not-utf-8", func(t *T) string { return t.File("a\xff\x80b", "") }, ok},
		{"control-characters", func(t *T) string { return t.File("\x01\x7f", "") }, ok},
		{"case-matters", func(t *T) string { t.File("f", ""); return t.Path("F") }, []syscall.Errno{syscall.ENOENT}},
		{"name-of-255", func(t *T) string { return t.File(strings.Repeat("n", 255), "") }, ok},
		{"name-of-255-as-directory", func(t *T) string {
			t.Dir(strings.Repeat("n", 255))
			return t.File(strings.Repeat("n", 255)+"/f", "")
		}, ok},
		{"name-of-256-inside", func(t *T) string { return t.Path(strings.Repeat("n", 256) + "/f") }, []syscall.Errno{syscall.ENAMETOOLONG}},
		{"prefix-of-a-name", func(t *T) string { t.File("name", ""); return t.Path("nam") }, []syscall.Errno{syscall.ENOENT}},
		{"beginning-as-a-name", func(t *T) string { t.File("name", ""); return t.Path("name2") }, []syscall.Errno{syscall.ENOENT}},
		{"link-to-file", func(t *T) string { t.File("f", ""); return t.Link("f", "l") }, ok},
		{"link-to-file-and-slash", func(t *T) string { t.File("f", ""); return t.Link("f", "l") + "/" }, []syscall.Errno{syscall.ENOTDIR}},
		{"link-to-directory", func(t *T) string { t.Dir("d"); return t.Link("d", "l") }, ok},
		{"link-to-directory-and-slash", func(t *T) string { t.Dir("d"); return t.Link("d", "l") + "/" }, ok},
		{"link-with-slash-to-file", func(t *T) string { t.File("f", ""); return t.Link("f/", "l") }, []syscall.Errno{syscall.ENOTDIR}},
		{"link-dangling", func(t *T) string { return t.Link("no", "l") }, []syscall.Errno{syscall.ENOENT}},
		{"link-absolute", func(t *T) string { return t.Link(t.File("f", ""), "l") }, ok},
		{"link-absolute-inside", func(t *T) string { d := t.Dir("d"); t.File("d/f", ""); return t.Link(d, "l") + "/f" }, ok},
		{"link-to-the-root", func(t *T) string { return t.Link("/", "l") }, ok},
		{"link-to-dot", func(t *T) string { t.File("f", ""); return t.Link(".", "l") + "/f" }, ok},
		{"link-to-dotdot", func(t *T) string { t.Dir("d"); t.File("f", ""); return t.Link("..", "d/l") + "/f" }, ok},
		{"link-with-many-slashes", func(t *T) string { t.Dir("d"); t.File("d/f", ""); return t.Link("d///f", "l") }, ok},
		{"links-through-directories", func(t *T) string {
			t.Dir("a")
			t.Dir("b")
			t.File("b/f", "")
			t.Link("../b", "a/to-b")
			t.Link("a/to-b/f", "l")
			return t.Path("l")
		}, ok},
		{"link-of-itself-and-a-name", func(t *T) string { return t.Link("l/x", "l") }, []syscall.Errno{syscall.ELOOP}},
		{"path-of-1023", func(t *T) string { p := deep(t, 1023); t.OK(os.WriteFile(p, nil, 0o644), "file"); return p }, ok},
	}
	var cases []Case
	for _, w := range ways {
		cases = append(cases, Case{"dir_lookup/" + w.name, 0, func(t *T) {
			t.Want(t.Do(Op{Call: "open", Path: w.setup(t), Flags: syscall.O_RDONLY}).Err(), "open", w.want...)
		}})
	}
	for _, n := range []int{1, 2, 8} {
		cases = append(cases, Case{fmt.Sprintf("dir_lookup/chain-of-%d-links", n), 0, func(t *T) {
			t.File("l0", "end")
			for i := range n {
				t.Link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1))
			}
			t.Content(t.Path(fmt.Sprintf("l%d", n)), "end")
		}})
	}
	// The limit on a path is a message's 1024 bytes on the Hurd, unless the
	// client cuts the path in pieces, and 4096 bytes on others.
	for _, n := range []int{1024, 1025, 2000, 4095} {
		cases = append(cases, Case{fmt.Sprintf("dir_lookup/path-of-%d", n), 0, func(t *T) {
			t.Chdir(t.dir)
			path := deep(&T{ctx: t.ctx, dir: "."}, 900)
			t.OK(os.WriteFile(path, nil, 0o644), "file")
			path = strings.Repeat("./", (n-len(path))/2) + path
			if len(path) < n {
				path = strings.Replace(path, "/", "//", 1)
			}
			Equal(t, len(path), n, "length of the path")
			t.Want(t.Do(Op{Call: "open", Path: path, Flags: syscall.O_RDONLY}).Err(), "open", 0, syscall.ENAMETOOLONG)
		}})
	}
	return append(cases,
		Case{"dir_lookup/path-much-too-long", 0, func(t *T) {
			path := t.dir + strings.Repeat("/.", 5000)
			t.Want(t.Do(Op{Call: "open", Path: path, Flags: syscall.O_RDONLY}).Err(), "open", 0, syscall.ENAMETOOLONG)
		}},
		Case{"dir_lookup/chain-of-100-links", 0, func(t *T) {
			t.File("l0", "end")
			for i := range 100 {
				t.Link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1))
			}
			t.Want(t.Do(Op{Call: "open", Path: t.Path("l100")}).Err(), "open", syscall.ELOOP)
		}},
		Case{"dir_lookup/dotdot-at-the-root", 0, func(t *T) {
			a, b := t.Stat("/"), t.Stat("/../../..")
			Equal(t, [2]uint64{uint64(b.Dev), uint64(b.Ino)}, [2]uint64{uint64(a.Dev), uint64(a.Ino)}, "/../../..")
		}},
		Case{"dir_lookup/dotdot-of-a-moved-directory", 0, func(t *T) {
			t.Dir("a")
			t.Dir("b")
			t.Dir("a/d")
			t.OK(syscall.Rename(t.Path("a/d"), t.Path("b/d")), "rename")
			Equal(t, t.Stat(t.Path("b/d/..")).Ino, t.Stat(t.Path("b")).Ino, "the number of d/..")
		}},
		Case{"dir_lookup/directory-for-writing", 0, func(t *T) {
			d := t.Dir("d")
			t.Want(t.Do(Op{Call: "open", Path: d, Flags: syscall.O_WRONLY}).Err(), "open to write", syscall.EISDIR)
			t.Want(t.Do(Op{Call: "open", Path: d, Flags: syscall.O_RDWR}).Err(), "open to read and write", syscall.EISDIR)
		}},
		Case{"dir_lookup/O_DIRECTORY", 0, func(t *T) {
			t.Dir("d")
			t.File("f", "")
			t.Link("d", "l")
			const flags = syscall.O_RDONLY | syscall.O_DIRECTORY
			t.Want(t.Do(Op{Call: "open", Path: t.Path("d"), Flags: flags}).Err(), "a directory", 0)
			t.Want(t.Do(Op{Call: "open", Path: t.Path("l"), Flags: flags}).Err(), "a link to one", 0)
			t.Want(t.Do(Op{Call: "open", Path: t.Path("f"), Flags: flags}).Err(), "a file", syscall.ENOTDIR)
		}},
		Case{"dir_lookup/O_NOFOLLOW", 0, func(t *T) {
			t.File("f", "")
			t.Dir("d")
			t.File("d/f", "")
			t.Link("f", "l")
			t.Link("d", "m")
			const flags = syscall.O_RDONLY | syscall.O_NOFOLLOW
			t.Want(t.Do(Op{Call: "open", Path: t.Path("f"), Flags: flags}).Err(), "a file", 0)
			t.Want(t.Do(Op{Call: "open", Path: t.Path("l"), Flags: flags}).Err(), "a link", syscall.ELOOP)
			t.Want(t.Do(Op{Call: "open", Path: t.Path("m/f"), Flags: flags}).Err(), "a link on the way", 0)
		}},
		Case{"dir_lookup/O_TRUNC", 0, func(t *T) {
			f := t.File("f", "content")
			t.Open(f, syscall.O_WRONLY|syscall.O_TRUNC, 0)
			t.Content(f, "")
		}},
		Case{"dir_lookup/O_TRUNC-keeps-the-node", 0, func(t *T) {
			f := t.File("f", "content")
			t.OK(syscall.Link(f, t.Path("g")), "link")
			before := t.Stat(f)
			t.Write(t.Open(f, syscall.O_WRONLY|syscall.O_TRUNC|syscall.O_CREAT, 0o600), "new")
			Equal(t, t.Stat(f).Ino, before.Ino, "file number")
			Equal(t, t.Stat(f).Mode, before.Mode, "mode")
			t.Content(t.Path("g"), "new")
		}},
		Case{"dir_lookup/two-opens-have-two-pointers", 0, func(t *T) {
			f := t.File("f", "abcdef")
			a, b := t.Open(f, syscall.O_RDONLY, 0), t.Open(f, syscall.O_RDONLY, 0)
			Equal(t, t.Read(a, 3), "abc", "the first")
			Equal(t, t.Read(b, 3), "abc", "the second")
			Equal(t, t.Read(a, 3), "def", "the first again")
		}},
		Case{"dir_lookup/opened-before-renamed", 0, func(t *T) {
			fd := t.Open(t.File("f", "abc"), syscall.O_RDWR, 0)
			t.OK(syscall.Rename(t.Path("f"), t.Path("g")), "rename")
			t.Write(fd, "X")
			t.Content(t.Path("g"), "Xbc")
		}},
		Case{"dir_lookup/many-at-once", 0, func(t *T) {
			t.Dir("d")
			t.File("d/f", "x")
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for range 20 {
						if fd, err := open(t.Path("d/../d/./f"), syscall.O_RDONLY, 0); err != nil {
							t.Errorf("open: %v", err)
						} else {
							syscall.Close(fd)
						}
					}
				})
			}
			wg.Wait()
		}},
		Case{"dir_lookup/many-open-files", 0, func(t *T) {
			const n = 200
			var fds []int
			for i := range n {
				fd := t.Open(t.Path(fmt.Sprint(i)), syscall.O_RDWR|syscall.O_CREAT, 0o644)
				t.Write(fd, fmt.Sprint(i))
				fds = append(fds, fd)
			}
			for i, fd := range fds {
				t.Seek(fd, 0, 0)
				Equal(t, t.Read(fd, 10), fmt.Sprint(i), "file %d", i)
			}
		}},
	)
}

func createCases() []Case {
	const create = syscall.O_WRONLY | syscall.O_CREAT
	openAs := func(path string, flags int, mode uint32) Op {
		return Op{Call: "open", Path: path, Flags: flags, Mode: mode}
	}
	cases := []Case{
		{"dir_lookup/create-new", 0, func(t *T) {
			t.Open(t.Path("f"), create, 0o644)
			st := t.Stat(t.Path("f"))
			Equal(t, st.Mode, syscall.S_IFREG|0o644, "mode")
			Equal(t, st.Size, 0, "size")
			Equal(t, st.Nlink, 1, "links")
		}},
		{"dir_lookup/create-existing", 0, func(t *T) {
			f := t.FileMode("f", "content", 0o600)
			t.Open(f, create, 0o644)
			t.Content(f, "content")
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o600, "mode")
		}},
		{"dir_lookup/create-existing-directory", 0, func(t *T) {
			t.Want(t.Do(openAs(t.Dir("d"), create, 0o644)).Err(), "create", syscall.EISDIR)
		}},
		{"dir_lookup/create-with-slash", 0, func(t *T) {
			t.Want(t.Do(openAs(t.Path("new/"), create, 0o644)).Err(), "create", syscall.EISDIR, syscall.ENOENT, syscall.ENOTDIR)
			if t.Exists("new") {
				t.Errorf("it has made something")
			}
		}},
		{"dir_lookup/create-through-a-link", 0, func(t *T) {
			// A server of the Hurd may leave creating out behind a link.
			t.Link("f", "l")
			t.Want(t.Do(openAs(t.Path("l"), create, 0o644)).Err(), "create", 0, syscall.ENOENT)
			if st := t.Lstat(t.Path("l")); st.Mode&syscall.S_IFMT != syscall.S_IFLNK {
				t.Errorf("the link has been replaced: mode %#o", st.Mode)
			}
		}},
		{"dir_lookup/create-existing-through-a-link", 0, func(t *T) {
			t.Link("f", "l")
			f := t.File("f", "abc")
			t.Write(t.Open(t.Path("l"), create, 0o644), "X")
			t.Content(f, "Xbc")
		}},
		{"dir_lookup/create-dot", 0, func(t *T) {
			t.Want(t.Do(openAs(t.Path("."), create, 0o644)).Err(), "create", syscall.EISDIR, syscall.EEXIST)
		}},
		{"dir_lookup/create-read-only-can-be-written", 0, func(t *T) {
			// Permissions are looked at when a file is opened, not later.
			f := t.Path("f")
			t.Write(t.Open(f, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL, 0o400), "content")
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o400, "mode")
			t.Content(f, "content")
		}},
		{"dir_lookup/create-to-read", 0, func(t *T) {
			fd := t.Open(t.Path("f"), syscall.O_RDONLY|syscall.O_CREAT, 0o644)
			_, err := syscall.Write(fd, []byte("x"))
			t.Want(err, "write", syscall.EBADF)
		}},
		{"dir_lookup/create-changes-directory-times", 0, func(t *T) {
			d := t.Dir("d")
			t.OK(syscall.UtimesNano(d, times(1e9, 1e9)), "utimens")
			t.File("d/f", "")
			if st := t.Stat(d); nano(st.Mtim) == 1e9 {
				t.Errorf("the directory's time has not changed")
			}
		}},
		{"dir_lookup/create-existing-keeps-directory-times", 0, func(t *T) {
			d := t.Dir("d")
			t.File("d/f", "")
			t.OK(syscall.UtimesNano(d, times(1e9, 1e9)), "utimens")
			t.Open(t.Path("d/f"), create, 0o644)
			Equal(t, nano(t.Stat(d).Mtim), 1e9, "the directory's time")
		}},
		{"dir_lookup/create-in-an-unlinked-directory", 0, func(t *T) {
			d := t.Dir("d")
			t.Chdir(d)
			t.OK(syscall.Rmdir(d), "rmdir")
			t.Want(t.Do(openAs("f", create, 0o644)).Err(), "create", syscall.ENOENT)
		}},
		{"dir_lookup/create-excl-new", 0, func(t *T) {
			t.Open(t.Path("f"), create|syscall.O_EXCL, 0o644)
		}},
	}
	const excl = create | syscall.O_EXCL
	for _, x := range []struct {
		name  string
		setup func(t *T) string
	}{
		{"file", func(t *T) string { return t.File("x", "") }},
		{"directory", func(t *T) string { return t.Dir("x") }},
		{"link", func(t *T) string { t.File("f", ""); return t.Link("f", "x") }},
		{"dangling-link", func(t *T) string { return t.Link("no", "x") }},
		{"loop", func(t *T) string { return t.Link("x", "x") }},
		{"link-to-directory", func(t *T) string { t.Dir("d"); return t.Link("d", "x") }},
	} {
		cases = append(cases, Case{"dir_lookup/create-excl-over-" + x.name, 0, func(t *T) {
			path := x.setup(t)
			before := t.Lstat(path)
			t.Want(t.Do(openAs(path, excl, 0o644)).Err(), "create", syscall.EEXIST)
			Equal(t, t.Lstat(path).Ino, before.Ino, "file number")
			if t.Exists("no") {
				t.Errorf("what the link leads to has been made")
			}
		}})
	}
	for _, x := range []struct{ umask, mode, want uint32 }{
		{0, 0o777, 0o777}, {0, 0o000, 0o000}, {0o022, 0o666, 0o644}, {0o077, 0o777, 0o700}, {0o777, 0o777, 0}, {0o027, 0o640, 0o640}, {0o002, 0o775, 0o775},
	} {
		cases = append(cases, Case{fmt.Sprintf("dir_lookup/create-mode-%03o-umask-%03o", x.mode, x.umask), 0, func(t *T) {
			t.Umask(int(x.umask))
			t.Open(t.Path("f"), syscall.O_WRONLY|syscall.O_CREAT, x.mode)
			Equal(t, t.Stat(t.Path("f")).Mode, syscall.S_IFREG|x.want, "mode")
		}})
	}
	return cases
}

func mkdirCases() []Case {
	mkdir := func(path string, mode uint32) Op { return Op{Call: "mkdir", Path: path, Mode: mode} }
	cases := []Case{
		{"dir_mkdir/new", 0, func(t *T) {
			t.OK(syscall.Mkdir(t.Path("d"), 0o755), "mkdir")
			st := t.Stat(t.Path("d"))
			Equal(t, st.Mode, syscall.S_IFDIR|0o755, "mode")
			t.WantNames(t.Path("d"))
		}},
		{"dir_mkdir/with-slash", 0, func(t *T) {
			t.OK(syscall.Mkdir(t.Path("d/"), 0o755), "mkdir")
			Equal(t, t.Stat(t.Path("d")).Mode, syscall.S_IFDIR|0o755, "mode")
		}},
		{"dir_mkdir/links-of-parent", 0, func(t *T) {
			d := t.Dir("d")
			if t.Stat(d).Nlink < 2 {
				t.Skipf("this file system does not count the links of directories")
			}
			t.Dir("d/a")
			t.Dir("d/b")
			t.File("d/f", "")
			Equal(t, t.Stat(d).Nlink, 4, "links with two directories and a file")
			t.OK(syscall.Rmdir(t.Path("d/a")), "rmdir")
			Equal(t, t.Stat(d).Nlink, 3, "links with one directory less")
			Equal(t, t.Stat(t.Path("d/b")).Nlink, 2, "links of an empty directory")
		}},
		{"dir_mkdir/changes-directory-times", 0, func(t *T) {
			d := t.Dir("d")
			t.OK(syscall.UtimesNano(d, times(1e9, 1e9)), "utimens")
			t.Dir("d/e")
			if st := t.Stat(d); nano(st.Mtim) == 1e9 {
				t.Errorf("the directory's time has not changed")
			}
		}},
		{"dir_mkdir/deep", 0, func(t *T) {
			path := "."
			t.Chdir(t.dir)
			for i := range 64 {
				path += fmt.Sprintf("/%d", i)
				t.OK(syscall.Mkdir(path, 0o755), "mkdir of depth %d", i)
			}
			t.OK(os.WriteFile(path+"/f", []byte("deep"), 0o644), "file")
			t.Content(path+"/f", "deep")
			t.OK(os.RemoveAll("0"), "remove")
			t.OK(os.RemoveAll(t.Path("0")), "remove")
		}},
		{"dir_mkdir/many", 0, func(t *T) {
			const n = 300
			for i := range n {
				t.OK(syscall.Mkdir(t.Path(fmt.Sprint("d", i)), 0o755), "mkdir")
			}
			Equal(t, len(t.Names(t.dir)), n, "directories")
		}},
		{"dir_mkdir/in-an-unlinked-directory", 0, func(t *T) {
			d := t.Dir("d")
			t.Chdir(d)
			t.OK(syscall.Rmdir(d), "rmdir")
			t.Want(syscall.Mkdir("e", 0o755), "mkdir", syscall.ENOENT)
		}},
	}
	for _, x := range []struct {
		name  string
		setup func(t *T) string
	}{
		{"file", func(t *T) string { return t.File("x", "") }},
		{"directory", func(t *T) string { return t.Dir("x") }},
		{"link", func(t *T) string { t.Dir("d"); return t.Link("d", "x") }},
		{"dangling-link", func(t *T) string { return t.Link("no", "x") }},
		{"dot", func(t *T) string { return t.Path(".") }},
		{"dotdot", func(t *T) string { return t.Path("..") }},
	} {
		cases = append(cases, Case{"dir_mkdir/over-" + x.name, 0, func(t *T) {
			t.Want(t.Do(mkdir(x.setup(t), 0o755)).Err(), "mkdir", syscall.EEXIST)
			if t.Exists("no") {
				t.Errorf("what the link leads to has been made")
			}
		}})
	}
	for _, x := range []struct{ umask, mode, want uint32 }{{0, 0o777, 0o777}, {0, 0, 0}, {0o022, 0o777, 0o755}, {0o077, 0o755, 0o700}, {0, 0o1777, 0o1777}} {
		cases = append(cases, Case{fmt.Sprintf("dir_mkdir/mode-%03o-umask-%03o", x.mode, x.umask), 0, func(t *T) {
			t.Umask(int(x.umask))
			t.OK(syscall.Mkdir(t.Path("d"), x.mode), "mkdir")
			Equal(t, t.Stat(t.Path("d")).Mode, syscall.S_IFDIR|x.want, "mode")
		}})
	}
	return cases
}
