//go:build linux || hurd

package fstest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// A thing is something that a name can stand for.
type thing struct {
	name  string
	isDir bool
	make  func(t *T, name string) string
}

var (
	aFile     = thing{"file", false, func(t *T, name string) string { return t.File(name, name) }}
	aDir      = thing{"dir", true, func(t *T, name string) string { return t.Dir(name) }}
	aFullDir  = thing{"full-dir", true, func(t *T, name string) string { d := t.Dir(name); t.File(name+"/in", ""); return d }}
	aLink     = thing{"link", false, func(t *T, name string) string { return t.Link("nowhere", name) }}
	aLinkFile = thing{"link-to-file", false, func(t *T, name string) string { t.File("f-"+name, ""); return t.Link("f-"+name, name) }}
	aLinkDir  = thing{"link-to-dir", false, func(t *T, name string) string { t.Dir("d-" + name); return t.Link("d-"+name, name) }}
	aFifo     = thing{"fifo", false, func(t *T, name string) string {
		t.OK(syscall.Mkfifo(t.Path(name), 0o644), "mkfifo")
		return t.Path(name)
	}}
	things = []thing{aFile, aDir, aFullDir, aLink, aLinkFile, aLinkDir, aFifo}
)

func (x thing) needs() Feature {
	if x.name == "fifo" {
		return Fifos
	}
	return 0
}

func unlinkCases() []Case {
	var cases []Case
	for _, x := range things {
		cases = append(cases, Case{"dir_unlink/" + x.name, x.needs(), func(t *T) {
			path := x.make(t, "x")
			err := syscall.Unlink(path)
			if x.isDir {
				t.Want(err, "unlink", syscall.EISDIR, syscall.EPERM)
				Equal(t, t.Exists("x"), true, "the directory is there")
				return
			}
			t.Want(err, "unlink", 0)
			Equal(t, t.Exists("x"), false, "the name is there")
			if strings.HasPrefix(x.name, "link-to") {
				Equal(t, len(t.Names(t.dir)), 1, "what the link led to is there: names")
			}
		}}, Case{"dir_rmdir/" + x.name, x.needs(), func(t *T) {
			path := x.make(t, "x")
			want := syscall.ENOTDIR
			switch x.name {
			case "dir":
				want = 0
			case "full-dir":
				want = syscall.ENOTEMPTY
			}
			t.Want(syscall.Rmdir(path), "rmdir", want)
			Equal(t, t.Exists("x"), want != 0, "the name is there")
		}})
	}
	return append(cases,
		Case{"dir_unlink/file-with-slash", 0, func(t *T) {
			t.Want(syscall.Unlink(t.File("f", "")+"/"), "unlink", syscall.ENOTDIR)
			Equal(t, t.Exists("f"), true, "the file is there")
		}},
		Case{"dir_unlink/dot", 0, func(t *T) {
			t.Want(syscall.Unlink(t.Path(".")), "unlink", syscall.EISDIR, syscall.EPERM, syscall.EINVAL, syscall.EBUSY)
		}},
		Case{"dir_unlink/dotdot", 0, func(t *T) {
			t.Want(syscall.Unlink(t.Path("..")), "unlink", syscall.EISDIR, syscall.EPERM, syscall.EINVAL, syscall.EBUSY)
		}},
		Case{"dir_unlink/open-file", 0, func(t *T) {
			f := t.File("f", "content")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.OK(syscall.Unlink(f), "unlink")
			Equal(t, t.Fstat(fd).Nlink, 0, "links")
			Equal(t, t.Read(fd, 100), "content", "content")
			t.Write(fd, " and more")
			t.Seek(fd, 0, 0)
			Equal(t, t.Read(fd, 100), "content and more", "content")
			t.OK(syscall.Ftruncate(fd, 3), "truncate")
			Equal(t, t.Fstat(fd).Size, 3, "size")
		}},
		Case{"dir_unlink/open-file-and-again", 0, func(t *T) {
			f := t.File("f", "old")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.OK(syscall.Unlink(f), "unlink")
			t.File("f", "new")
			Equal(t, t.Read(fd, 100), "old", "the old file")
			t.Content(f, "new")
			if t.Fstat(fd).Ino == t.Stat(f).Ino {
				t.Errorf("both have the same number")
			}
		}},
		Case{"dir_unlink/open-file-of-two-descriptors", 0, func(t *T) {
			f := t.File("f", "content")
			a, b := t.Open(f, syscall.O_RDWR, 0), t.Open(f, syscall.O_RDWR, 0)
			t.OK(syscall.Unlink(f), "unlink")
			t.Write(a, "CON")
			syscall.Close(a)
			Equal(t, t.Read(b, 100), "CONtent", "content after the first has closed it")
		}},
		Case{"dir_unlink/space-comes-back", 0, func(t *T) {
			// If it did not, some of these would find no room.
			data := []byte(strings.Repeat("0123456789abcdef", 1<<16))
			for i := range 40 {
				f := t.Path("f")
				t.OK(os.WriteFile(f, data, 0o644), "writing 1 MB for the %dth time", i)
				t.OK(syscall.Unlink(f), "unlink")
			}
		}},
		Case{"dir_unlink/changes-times", 0, func(t *T) {
			d := t.Dir("d")
			f := t.File("d/f", "")
			t.OK(syscall.UtimesNano(d, times(1e9, 1e9)), "utimens")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			before := t.Fstat(fd).Ctim
			t.LaterTick()
			t.OK(syscall.Unlink(f), "unlink")
			if nano(t.Stat(d).Mtim) == 1e9 {
				t.Errorf("the directory's time has not changed")
			}
			if !after(t.Fstat(fd).Ctim, before) {
				t.Errorf("the file's ctime has not changed")
			}
		}},
		Case{"dir_unlink/one-of-two-names", HardLinks, func(t *T) {
			f := t.File("f", "content")
			t.OK(syscall.Link(f, t.Path("g")), "link")
			t.OK(syscall.Unlink(f), "unlink")
			t.Content(t.Path("g"), "content")
			Equal(t, t.Stat(t.Path("g")).Nlink, 1, "links")
		}},
		Case{"dir_unlink/twice", 0, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Unlink(f), "unlink")
			t.Want(syscall.Unlink(f), "unlink again", syscall.ENOENT)
		}},
		Case{"dir_rmdir/with-slash", 0, func(t *T) { t.OK(syscall.Rmdir(t.Dir("d")+"/"), "rmdir") }},
		Case{"dir_rmdir/link-with-slash", 0, func(t *T) {
			t.Dir("d")
			t.Want(syscall.Rmdir(t.Link("d", "l")+"/"), "rmdir", syscall.ENOTDIR, syscall.EINVAL, 0)
		}},
		Case{"dir_rmdir/dot", 0, func(t *T) {
			t.Want(syscall.Rmdir(t.Dir("d")+"/."), "rmdir", syscall.EINVAL)
			Equal(t, t.Exists("d"), true, "the directory is there")
		}},
		Case{"dir_rmdir/dotdot", 0, func(t *T) {
			t.Dir("d")
			t.Want(syscall.Rmdir(t.Dir("d/e")+"/.."), "rmdir", syscall.ENOTEMPTY, syscall.EINVAL)
			Equal(t, t.Exists("d/e"), true, "the directory is there")
		}},
		Case{"dir_rmdir/full-again-empty", 0, func(t *T) {
			d := t.Dir("d")
			t.File("d/f", "")
			t.Want(syscall.Rmdir(d), "rmdir", syscall.ENOTEMPTY)
			t.OK(syscall.Unlink(t.Path("d/f")), "unlink")
			t.Want(syscall.Rmdir(d), "rmdir when empty", 0)
		}},
		Case{"dir_rmdir/full-of-hidden", 0, func(t *T) {
			d := t.Dir("d")
			t.File("d/.hidden", "")
			t.Want(syscall.Rmdir(d), "rmdir", syscall.ENOTEMPTY)
		}},
		Case{"dir_rmdir/full-of-a-dangling-link", 0, func(t *T) {
			d := t.Dir("d")
			t.Link("no", "d/l")
			t.Want(syscall.Rmdir(d), "rmdir", syscall.ENOTEMPTY)
		}},
		Case{"dir_rmdir/open-directory", 0, func(t *T) {
			d := t.Dir("d")
			fd := t.Open(d, syscall.O_RDONLY, 0)
			t.OK(syscall.Rmdir(d), "rmdir")
			Equal(t, t.Fstat(fd).Mode, syscall.S_IFDIR|0o755, "mode")
			t.Dir("d")
			if t.Fstat(fd).Ino == t.Stat(d).Ino {
				t.Errorf("a new directory has its number")
			}
		}},
	)
}

func renameCases() []Case {
	var cases []Case
	// What may take the place of what.
	over := func(from, to thing) (want []syscall.Errno) {
		switch {
		case from.isDir && to.name == "full-dir":
			return []syscall.Errno{syscall.ENOTEMPTY, syscall.EEXIST}
		case from.isDir && !to.isDir:
			return []syscall.Errno{syscall.ENOTDIR}
		case !from.isDir && to.isDir:
			return []syscall.Errno{syscall.EISDIR}
		}
		return []syscall.Errno{0}
	}
	for _, from := range things {
		cases = append(cases, Case{"dir_rename/" + from.name, from.needs(), func(t *T) {
			path := from.make(t, "x")
			before := t.Lstat(path)
			t.OK(syscall.Rename(path, t.Path("y")), "rename")
			Equal(t, t.Exists("x"), false, "the old name is there")
			st := t.Lstat(t.Path("y"))
			Equal(t, st.Ino, before.Ino, "file number")
			Equal(t, st.Mode, before.Mode, "mode")
			Equal(t, st.Nlink, before.Nlink, "links")
		}})
		for _, to := range things {
			cases = append(cases, Case{"dir_rename/" + from.name + "-over-" + to.name, from.needs() | to.needs(), func(t *T) {
				x, y := from.make(t, "x"), to.make(t, "y")
				xs, ys := t.Lstat(x), t.Lstat(y)
				want := over(from, to)
				t.Want(syscall.Rename(x, y), "rename", want...)
				after := t.Lstat(y)
				if want[0] == 0 {
					Equal(t, t.Exists("x"), false, "the old name is there")
					Equal(t, after.Ino, xs.Ino, "number of the new name")
				} else {
					Equal(t, t.Lstat(x).Ino, xs.Ino, "number of the old name")
					Equal(t, after.Ino, ys.Ino, "number of the new name")
				}
			}})
		}
	}
	for _, x := range []struct {
		name  string
		setup func(t *T) (from, to string)
		want  []syscall.Errno
	}{
		{"same-file", func(t *T) (string, string) { f := t.File("f", ""); return f, f }, []syscall.Errno{0}},
		{"same-dir", func(t *T) (string, string) { d := t.Dir("d"); return d, d }, []syscall.Errno{0}},
		{"into-itself", func(t *T) (string, string) { d := t.Dir("d"); return d, d + "/e" }, []syscall.Errno{syscall.EINVAL}},
		{"into-its-child", func(t *T) (string, string) { d := t.Dir("d"); return d, t.Dir("d/e") + "/f" }, []syscall.Errno{syscall.EINVAL}},
		{"over-its-child", func(t *T) (string, string) { d := t.Dir("d"); return d, t.Dir("d/e") }, []syscall.Errno{syscall.EINVAL}},
		{"over-its-parent", func(t *T) (string, string) { d := t.Dir("d"); return t.Dir("d/e"), d }, []syscall.Errno{syscall.ENOTEMPTY, syscall.EEXIST, syscall.EINVAL}},
		{"into-itself-by-a-link", func(t *T) (string, string) { d := t.Dir("d"); return d, t.Link("d", "l") + "/e" }, []syscall.Errno{syscall.EINVAL}},
		{"dot", func(t *T) (string, string) { return t.Dir("d") + "/.", t.Path("e") }, []syscall.Errno{syscall.EBUSY, syscall.EINVAL}},
		{"dotdot", func(t *T) (string, string) { t.Dir("d"); return t.Dir("d/e") + "/..", t.Path("e") }, []syscall.Errno{syscall.EBUSY, syscall.EINVAL}},
		{"to-dot", func(t *T) (string, string) { d := t.Dir("d"); return t.Dir("e"), d + "/." }, []syscall.Errno{syscall.EBUSY, syscall.EINVAL, syscall.EEXIST, syscall.ENOTEMPTY}},
		{"to-dotdot", func(t *T) (string, string) { d := t.Dir("d"); return t.Dir("e"), d + "/.." }, []syscall.Errno{syscall.EBUSY, syscall.EINVAL, syscall.EEXIST, syscall.ENOTEMPTY}},
		{"dir-with-slashes", func(t *T) (string, string) { return t.Dir("d") + "/", t.Path("e/") }, []syscall.Errno{0}},
		{"file-with-slash", func(t *T) (string, string) { return t.File("f", "") + "/", t.Path("g") }, []syscall.Errno{syscall.ENOTDIR}},
		// POSIX wants an error; libraries of the Hurd leave the slash out.
		{"file-to-slash", func(t *T) (string, string) { return t.File("f", ""), t.Path("g/") }, []syscall.Errno{syscall.ENOTDIR, syscall.ENOENT, syscall.EISDIR, 0}},
		{"file-over-dir-with-slash", func(t *T) (string, string) { return t.File("f", ""), t.Dir("d") + "/" }, []syscall.Errno{syscall.ENOTDIR, syscall.EISDIR}},
		{"from-missing-over-file", func(t *T) (string, string) { return t.Path("no"), t.File("f", "") }, []syscall.Errno{syscall.ENOENT}},
	} {
		cases = append(cases, Case{"dir_rename/" + x.name, 0, func(t *T) {
			from, to := x.setup(t)
			t.Want(syscall.Rename(from, to), "rename", x.want...)
		}})
	}
	return append(cases,
		Case{"dir_rename/hard-links-of-one-file", HardLinks, func(t *T) {
			// POSIX: if both are the same file, rename does nothing.
			f, g := t.File("f", "content"), t.Path("g")
			t.OK(syscall.Link(f, g), "link")
			t.OK(syscall.Rename(f, g), "rename")
			t.WantNames(t.dir, "f", "g")
			Equal(t, t.Stat(f).Nlink, 2, "links")
		}},
		Case{"dir_rename/hard-links-in-two-directories", HardLinks, func(t *T) {
			f := t.File("f", "content")
			t.Dir("d")
			t.OK(syscall.Link(f, t.Path("d/f")), "link")
			t.OK(syscall.Rename(f, t.Path("d/f")), "rename")
			Equal(t, t.Exists("f"), true, "the old name is there")
			Equal(t, t.Stat(f).Nlink, 2, "links")
		}},
		Case{"dir_rename/over-one-of-two-names", HardLinks, func(t *T) {
			f, g := t.File("f", "f"), t.File("g", "g")
			t.OK(syscall.Link(g, t.Path("h")), "link")
			t.OK(syscall.Rename(f, g), "rename")
			t.Content(g, "f")
			t.Content(t.Path("h"), "g")
			Equal(t, t.Stat(t.Path("h")).Nlink, 1, "links of the other name")
		}},
		Case{"dir_rename/over-an-open-file", 0, func(t *T) {
			f, g := t.File("f", "new"), t.File("g", "old")
			fd := t.Open(g, syscall.O_RDWR, 0)
			t.OK(syscall.Rename(f, g), "rename")
			Equal(t, t.Read(fd, 10), "old", "the open file")
			Equal(t, t.Fstat(fd).Nlink, 0, "its links")
			t.Content(g, "new")
		}},
		Case{"dir_rename/across-directories", 0, func(t *T) {
			t.Dir("a")
			t.Dir("b")
			f := t.File("a/f", "content")
			t.OK(syscall.Rename(f, t.Path("b/g")), "rename")
			t.WantNames(t.Path("a"))
			t.WantNames(t.Path("b"), "g")
			t.Content(t.Path("b/g"), "content")
		}},
		Case{"dir_rename/dir-across-directories", 0, func(t *T) {
			a, b := t.Dir("a"), t.Dir("b")
			t.Dir("a/d")
			t.File("a/d/f", "content")
			linksA, linksB := t.Stat(a).Nlink, t.Stat(b).Nlink
			t.OK(syscall.Rename(t.Path("a/d"), t.Path("b/e")), "rename")
			t.Content(t.Path("b/e/f"), "content")
			Equal(t, t.Stat(t.Path("b/e/..")).Ino, t.Stat(b).Ino, "number of the parent")
			if linksA > 2 {
				Equal(t, t.Stat(a).Nlink, linksA-1, "links of the old parent")
				Equal(t, t.Stat(b).Nlink, linksB+1, "links of the new parent")
			}
		}},
		Case{"dir_rename/dir-over-dir-counts-links", 0, func(t *T) {
			d := t.Dir("d")
			t.Dir("d/a")
			t.Dir("d/b")
			before := t.Stat(d).Nlink
			t.OK(syscall.Rename(t.Path("d/a"), t.Path("d/b")), "rename")
			if before > 2 {
				Equal(t, t.Stat(d).Nlink, before-1, "links of the parent")
			}
		}},
		Case{"dir_rename/open-file-stays-open", 0, func(t *T) {
			f := t.File("f", "content")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.OK(syscall.Rename(f, t.Path("g")), "rename")
			t.Write(fd, "CON")
			t.Content(t.Path("g"), "CONtent")
		}},
		Case{"dir_rename/working-directory", 0, func(t *T) {
			t.Dir("d")
			t.File("d/f", "content")
			t.Chdir(t.Path("d"))
			t.OK(syscall.Rename(t.Path("d"), t.Path("e")), "rename")
			t.Content("f", "content")
		}},
		Case{"dir_rename/link-stays-a-link", 0, func(t *T) {
			t.File("f", "content")
			t.OK(syscall.Rename(t.Link("f", "l"), t.Path("m")), "rename")
			target, err := readlink(t.Path("m"))
			t.OK(err, "readlink")
			Equal(t, target, "f", "target")
			t.Content(t.Path("f"), "content")
		}},
		Case{"dir_rename/swap-by-three", 0, func(t *T) {
			a, b := t.File("a", "a"), t.File("b", "b")
			t.OK(syscall.Rename(a, t.Path("c")), "rename")
			t.OK(syscall.Rename(b, a), "rename")
			t.OK(syscall.Rename(t.Path("c"), b), "rename")
			t.Content(a, "b")
			t.Content(b, "a")
		}},
		Case{"dir_rename/longest-names", 0, func(t *T) {
			a, b := strings.Repeat("a", 255), strings.Repeat("b", 255)
			t.OK(syscall.Rename(t.File(a, "content"), t.Path(b)), "rename")
			t.Content(t.Path(b), "content")
		}},
		Case{"dir_rename/changes-times", 0, func(t *T) {
			a, b := t.Dir("a"), t.Dir("b")
			f := t.File("a/f", "")
			t.OK(syscall.UtimesNano(a, times(1e9, 1e9)), "utimens")
			t.OK(syscall.UtimesNano(b, times(1e9, 1e9)), "utimens")
			t.OK(syscall.UtimesNano(f, times(1e9, 1e9)), "utimens")
			t.OK(syscall.Rename(f, t.Path("b/f")), "rename")
			if nano(t.Stat(a).Mtim) == 1e9 {
				t.Errorf("the old directory's time has not changed")
			}
			if nano(t.Stat(b).Mtim) == 1e9 {
				t.Errorf("the new directory's time has not changed")
			}
			Equal(t, nano(t.Stat(t.Path("b/f")).Mtim), 1e9, "the file's time")
		}},
		Case{"dir_rename/failed-keeps-times", 0, func(t *T) {
			f, d := t.File("f", ""), t.Dir("d")
			t.OK(syscall.UtimesNano(t.dir, times(1e9, 1e9)), "utimens")
			t.Want(syscall.Rename(f, d), "rename", syscall.EISDIR)
			Equal(t, nano(t.Stat(t.dir).Mtim), 1e9, "the directory's time")
		}},
		Case{"dir_rename/300-times", 0, func(t *T) {
			t.File("n0", "content")
			for i := range 300 {
				t.OK(syscall.Rename(t.Path(fmt.Sprint("n", i)), t.Path(fmt.Sprint("n", i+1))), "rename")
			}
			t.WantNames(t.dir, "n300")
			t.Content(t.Path("n300"), "content")
		}},
	)
}

func linkCases() []Case {
	var cases []Case
	for _, x := range things {
		cases = append(cases, Case{"dir_link/" + x.name, HardLinks | x.needs(), func(t *T) {
			path := x.make(t, "x")
			err := syscall.Link(path, t.Path("y"))
			if x.isDir {
				t.Want(err, "link", syscall.EPERM, syscall.EISDIR)
				Equal(t, t.Exists("y"), false, "the new name is there")
				return
			}
			if strings.HasPrefix(x.name, "link") {
				// POSIX leaves open whether the link or its target is meant.
				t.Want(err, "link", 0, syscall.ENOENT, syscall.EPERM)
				return
			}
			t.OK(err, "link")
			a, b := t.Lstat(path), t.Lstat(t.Path("y"))
			Equal(t, b.Ino, a.Ino, "file number")
			Equal(t, b.Nlink, 2, "links")
		}}, Case{"dir_link/over-" + x.name, HardLinks | x.needs(), func(t *T) {
			f := t.File("f", "")
			path := x.make(t, "x")
			before := t.Lstat(path)
			t.Want(syscall.Link(f, path), "link", syscall.EEXIST)
			Equal(t, t.Lstat(path).Ino, before.Ino, "file number")
			Equal(t, t.Stat(f).Nlink, 1, "links")
		}})
	}
	return append(cases,
		Case{"dir_link/content-is-shared", HardLinks, func(t *T) {
			f, g := t.File("f", "abc"), t.Path("g")
			t.OK(syscall.Link(f, g), "link")
			t.Write(t.Open(g, syscall.O_WRONLY|syscall.O_APPEND, 0), "def")
			t.Content(f, "abcdef")
			t.OK(syscall.Chmod(g, 0o600), "chmod")
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o600, "mode of the other name")
		}},
		Case{"dir_link/across-directories", HardLinks, func(t *T) {
			t.Dir("a")
			t.Dir("b")
			f := t.File("a/f", "content")
			t.OK(syscall.Link(f, t.Path("b/g")), "link")
			t.OK(syscall.Unlink(f), "unlink")
			t.OK(syscall.Rmdir(t.Path("a")), "rmdir")
			t.Content(t.Path("b/g"), "content")
		}},
		Case{"dir_link/many", HardLinks, func(t *T) {
			f := t.File("f", "content")
			const n = 100
			for i := range n {
				t.OK(syscall.Link(f, t.Path(fmt.Sprint("l", i))), "link %d", i)
			}
			Equal(t, t.Stat(f).Nlink, n+1, "links")
			for i := range n {
				t.OK(syscall.Unlink(t.Path(fmt.Sprint("l", i))), "unlink %d", i)
			}
			Equal(t, t.Stat(f).Nlink, 1, "links")
		}},
		Case{"dir_link/to-itself", HardLinks, func(t *T) {
			f := t.File("f", "")
			t.Want(syscall.Link(f, f), "link", syscall.EEXIST)
			Equal(t, t.Stat(f).Nlink, 1, "links")
		}},
		Case{"dir_link/with-slash", HardLinks, func(t *T) {
			// POSIX wants an error; libraries of the Hurd leave the slash out.
			t.Want(syscall.Link(t.File("f", ""), t.Path("g/")), "link", syscall.ENOENT, syscall.ENOTDIR, 0)
		}},
		Case{"dir_link/file-with-slash", HardLinks, func(t *T) {
			t.Want(syscall.Link(t.File("f", "")+"/", t.Path("g")), "link", syscall.ENOTDIR)
		}},
		Case{"dir_link/changes-times", HardLinks, func(t *T) {
			d := t.Dir("d")
			f := t.File("f", "")
			t.OK(syscall.UtimesNano(d, times(1e9, 1e9)), "utimens")
			before := t.Stat(f).Ctim
			t.LaterTick()
			t.OK(syscall.Link(f, t.Path("d/f")), "link")
			if nano(t.Stat(d).Mtim) == 1e9 {
				t.Errorf("the directory's time has not changed")
			}
			if !after(t.Stat(f).Ctim, before) {
				t.Errorf("the file's ctime has not changed")
			}
		}},
		Case{"dir_link/in-an-unlinked-directory", HardLinks, func(t *T) {
			f := t.File("f", "")
			t.Chdir(t.Dir("d"))
			t.OK(syscall.Rmdir(t.Path("d")), "rmdir")
			t.Want(syscall.Link(f, "g"), "link", syscall.ENOENT)
		}},
		Case{"dir_link/to-another-file-system", HardLinks, func(t *T) {
			f := t.File("f", "")
			for _, dir := range []string{"/dev/shm", "/dev", "/proc", "/tmp", "/"} {
				if st := t.statOrNil(dir); st != nil && uint64(st.Dev) != uint64(t.Stat(f).Dev) {
					name := dir + "/fstest-link"
					defer syscall.Unlink(name)
					t.Want(syscall.Link(f, name), "link to "+dir, syscall.EXDEV, syscall.EACCES, syscall.EROFS)
					return
				}
			}
			t.Skipf("found no other file system")
		}},
	)
}

// statOrNil is the stat of a directory that may not be there.
func (t *T) statOrNil(path string) *syscall.Stat_t {
	out := t.Do(Op{Call: "stat", Path: path})
	if out.Errno != 0 {
		return nil
	}
	return &out.Stat
}

func symlinkCases() []Case {
	var cases []Case
	for _, target := range []struct{ name, is string }{
		{"relative", "a"}, {"absolute", "/a/b/c"}, {"with-dots", "../../x/./y"}, {"with-slash", "a/"}, {"spaces", " a b "},
		{"utf-8", "größe"}, {"not-utf-8", "\xff\xfe"}, {"newline", "a\nb"}, {"of-255", strings.Repeat("t", 255)},
		{"of-256", strings.Repeat("t", 256)}, {"of-1000", strings.Repeat("0123456789", 100)}, {"of-1022", strings.Repeat("ab", 511)},
	} {
		cases = append(cases, Case{"io_read/readlink-" + target.name, 0, func(t *T) {
			l := t.Link(target.is, "l")
			got, err := readlink(l)
			t.OK(err, "readlink")
			Equal(t, got, target.is, "target")
			st := t.Lstat(l)
			Equal(t, st.Mode&syscall.S_IFMT, syscall.S_IFLNK, "type")
			Equal(t, st.Size, int64(len(target.is)), "size")
		}})
	}
	for _, x := range []thing{aFile, aDir, aLink, aLinkDir} {
		cases = append(cases, Case{"dir_mkfile/symlink-over-" + x.name, 0, func(t *T) {
			path := x.make(t, "x")
			before := t.Lstat(path)
			t.Want(syscall.Symlink("target", path), "symlink", syscall.EEXIST)
			Equal(t, t.Lstat(path).Ino, before.Ino, "file number")
		}})
	}
	for _, x := range []thing{aFile, aDir} {
		cases = append(cases, Case{"io_read/readlink-of-a-" + x.name, 0, func(t *T) {
			_, err := readlink(x.make(t, "x"))
			t.Want(err, "readlink", syscall.EINVAL)
		}})
	}
	return append(cases,
		Case{"dir_mkfile/symlink-empty-target", 0, func(t *T) {
			t.Want(syscall.Symlink("", t.Path("l")), "symlink", syscall.ENOENT, 0)
		}},
		Case{"dir_mkfile/symlink-with-slash", 0, func(t *T) {
			t.Want(syscall.Symlink("target", t.Path("l/")), "symlink", syscall.ENOENT, syscall.ENOTDIR, 0)
		}},
		Case{"io_read/readlink-short-buffer", 0, func(t *T) {
			l := t.Link("0123456789", "l")
			b := make([]byte, 4)
			n, err := syscall.Readlink(l, b)
			t.OK(err, "readlink")
			Equal(t, string(b[:n]), "0123", "what fits")
		}},
		Case{"io_read/readlink-in-the-middle-is-followed", 0, func(t *T) {
			t.Dir("d")
			t.Link("target", "d/l")
			t.Link("d", "m")
			got, err := readlink(t.Path("m/l"))
			t.OK(err, "readlink")
			Equal(t, got, "target", "target")
		}},
		Case{"dir_mkfile/symlink-target-appears", 0, func(t *T) {
			l := t.Link("f", "l")
			t.Want(t.Do(Op{Call: "open", Path: l}).Err(), "open", syscall.ENOENT)
			t.File("f", "content")
			t.Content(l, "content")
		}},
		Case{"dir_mkfile/symlink-target-changes", 0, func(t *T) {
			t.File("a", "a")
			t.File("b", "b")
			l := t.Link("a", "l")
			t.Content(l, "a")
			t.OK(syscall.Rename(t.Link("b", "m"), l), "rename")
			t.Content(l, "b")
		}},
		Case{"io_stat/link-and-target", 0, func(t *T) {
			f := t.FileMode("f", "content", 0o600)
			l := t.Link("f", "l")
			Equal(t, t.Stat(l).Ino, t.Stat(f).Ino, "number by stat")
			if t.Lstat(l).Ino == t.Stat(f).Ino {
				t.Errorf("lstat gives the target's number")
			}
			Equal(t, t.Stat(l).Mode, syscall.S_IFREG|0o600, "mode by stat")
		}},
		Case{"file_chmod/through-a-link", 0, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Chmod(t.Link("f", "l"), 0o600), "chmod")
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o600, "mode")
			Equal(t, t.Lstat(t.Path("l")).Mode&syscall.S_IFMT, syscall.S_IFLNK, "type of the link")
		}},
		Case{"file_set_size/through-a-link", 0, func(t *T) {
			f := t.File("f", "content")
			t.OK(syscall.Truncate(t.Link("f", "l"), 3), "truncate")
			t.Content(f, "con")
		}},
		Case{"file_utimens/through-a-link", 0, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.UtimesNano(t.Link("f", "l"), times(1e9, 2e9)), "utimens")
			Equal(t, nano(t.Stat(f).Mtim), 2e9, "the file's time")
			if nano(t.Lstat(t.Path("l")).Mtim) == 2e9 {
				t.Errorf("the link's time has changed")
			}
		}},
		Case{"dir_mkfile/symlink-over-a-removed-directory", 0, func(t *T) {
			d := t.Dir("d")
			t.File("f", "content")
			t.OK(syscall.Rmdir(d), "rmdir")
			t.Link("f", "d")
			t.Content(d, "content")
		}},
		Case{"dir_mkfile/symlink-loop-of-three", 0, func(t *T) {
			t.Link("b", "a")
			t.Link("c", "b")
			t.Link("a", "c")
			for _, n := range []string{"a", "b", "c"} {
				t.Want(t.Do(Op{Call: "open", Path: t.Path(n)}).Err(), "open "+n, syscall.ELOOP)
				t.Want(t.Do(Op{Call: "lstat", Path: t.Path(n)}).Err(), "lstat "+n, 0)
			}
		}},
		Case{"dir_mkfile/symlink-loop-through-the-parent", 0, func(t *T) {
			t.Dir("d")
			t.Link("../d/l/x", "d/l")
			t.Want(t.Do(Op{Call: "open", Path: t.Path("d/l")}).Err(), "open", syscall.ELOOP)
		}},
		Case{"dir_mkfile/symlink-loop-of-absolute-links", 0, func(t *T) {
			t.Link(t.Path("b"), "a")
			t.Link(t.Path("a"), "b")
			t.Want(t.Do(Op{Call: "open", Path: t.Path("a")}).Err(), "open", syscall.ELOOP)
		}},
	)
}
