//go:build linux || hurd

package fstest

import (
	"fmt"
	"syscall"
)

// The errors of those who may not.
var (
	denied  = []syscall.Errno{syscall.EACCES}
	refused = []syscall.Errno{syscall.EPERM}
	either  = []syscall.Errno{syscall.EPERM, syscall.EACCES}
	fine    = []syscall.Errno{0}
)

// A use is something that one of the permission bits allows.
type use struct {
	name string
	bits uint32 // of rwx, as for others
	op   func(path string) Op
}

var fileUses = []use{
	{"read", 4, func(p string) Op { return Op{Call: "open", Path: p, Flags: syscall.O_RDONLY} }},
	{"write", 2, func(p string) Op { return Op{Call: "open", Path: p, Flags: syscall.O_WRONLY} }},
	{"read-and-write", 6, func(p string) Op { return Op{Call: "open", Path: p, Flags: syscall.O_RDWR} }},
	{"execute", 1, func(p string) Op { return Op{Call: "access", Path: p, Mode: 1} }},
	{"truncate", 2, func(p string) Op { return Op{Call: "truncate", Path: p} }},
}

// dirUses are done to a directory with a file "in" and a directory "sub".
var dirUses = []use{
	{"list", 4, func(p string) Op { return Op{Call: "readdir", Path: p} }},
	{"stat-inside", 1, func(p string) Op { return Op{Call: "stat", Path: p + "/in"} }},
	{"open-inside", 1, func(p string) Op { return Op{Call: "open", Path: p + "/in", Flags: syscall.O_RDONLY} }},
	{"create-inside", 3, func(p string) Op {
		return Op{Call: "open", Path: p + "/new", Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}
	}},
	{"mkdir-inside", 3, func(p string) Op { return Op{Call: "mkdir", Path: p + "/new", Mode: 0o755} }},
	{"symlink-inside", 3, func(p string) Op { return Op{Call: "symlink", Path: p + "/new", To: "x"} }},
	{"unlink-inside", 3, func(p string) Op { return Op{Call: "unlink", Path: p + "/in"} }},
	{"rmdir-inside", 3, func(p string) Op { return Op{Call: "rmdir", Path: p + "/sub"} }},
	{"rename-inside", 3, func(p string) Op { return Op{Call: "rename", Path: p + "/in", To: p + "/new"} }},
}

// A class is one of the three groups of permission bits, and who is in it.
type class struct {
	name  string
	user  User
	shift uint
}

var classes = []class{{"owner", owner, 6}, {"group", member, 3}, {"other", other, 0}}

func permissionCases() []Case {
	var cases []Case
	add := func(name string, needs Feature, run func(t *T)) { cases = append(cases, Case{name, needs, run}) }

	file := func(t *T, mode uint32) string { return t.Chown(t.FileMode("x", "content", mode), owner) }
	dir := func(t *T, mode uint32) string {
		d := t.Dir("x")
		t.File("x/in", "content")
		t.Dir("x/sub")
		t.Chown(d, owner)
		t.OK(syscall.Chmod(d, mode), "chmod")
		return d
	}
	routine := func(u use) string {
		switch u.name {
		case "execute":
			return "file_check_access"
		case "truncate":
			return "file_set_size"
		case "list":
			return "dir_readdir"
		case "stat-inside":
			return "io_stat"
		case "mkdir-inside":
			return "dir_mkdir"
		case "symlink-inside":
			return "dir_mkfile"
		case "unlink-inside":
			return "dir_unlink"
		case "rmdir-inside":
			return "dir_rmdir"
		case "rename-inside":
			return "dir_rename"
		}
		return "dir_lookup"
	}
	for _, kind := range []struct {
		uses []use
		make func(t *T, mode uint32) string
	}{{fileUses, file}, {dirUses, dir}} {
		for _, u := range kind.uses {
			for _, c := range classes {
				// The bits of one's class count, be those of the others what
				// they may.
				name := fmt.Sprintf("%s/permission-%s-as-%s", routine(u), u.name, c.name)
				add(name+"-allowed", Users, func(t *T) {
					t.WantAs(c.user, u.op(kind.make(t, u.bits<<c.shift)), fine...)
				})
				add(name+"-denied", Users, func(t *T) {
					t.WantAs(c.user, u.op(kind.make(t, 0o777&^(7<<c.shift))), denied...)
				})
			}
			add(fmt.Sprintf("%s/permission-%s-as-root", routine(u), u.name), Root, func(t *T) {
				path := kind.make(t, 0)
				want := fine
				if u.name == "execute" {
					want = denied // by root too, unless somebody may
				}
				t.Want(t.Do(u.op(path)).Err(), u.name, want...)
			})
		}
	}
	for _, u := range []use{fileUses[0], fileUses[1], dirUses[1]} {
		kind := file
		if u.name == "stat-inside" {
			kind = dir
		}
		add(fmt.Sprintf("%s/permission-%s-by-supplementary-group", routine(u), u.name), Users, func(t *T) {
			path := kind(t, u.bits<<3)
			t.WantAs(guest, u.op(path), fine...)
			t.WantAs(other, u.op(path), denied...)
		})
	}
	// Two bits that are needed at once.
	for _, u := range dirUses[3:] {
		add(fmt.Sprintf("%s/permission-%s-without-search", routine(u), u.name), Users, func(t *T) {
			t.WantAs(owner, u.op(dir(t, 0o600)), denied...)
		})
	}
	add("file_check_access/permission-root-executes-what-others-may", Root, func(t *T) {
		t.Want(syscall.Access(t.Chown(t.FileMode("f", "", 0o001), owner), 1), "access", 0)
	})
	add("file_check_access/bits", Users, func(t *T) {
		f := t.Chown(t.FileMode("f", "", 0o640), owner)
		for _, x := range []struct {
			user  User
			mode  uint32
			allow bool
		}{
			{owner, 4, true}, {owner, 2, true}, {owner, 6, true}, {owner, 1, false}, {owner, 7, false},
			{member, 4, true}, {member, 2, false}, {member, 6, false}, {other, 4, false}, {other, 0, true},
		} {
			want := denied
			if x.allow {
				want = fine
			}
			t.Want(t.As(x.user, Op{Call: "access", Path: f, Mode: x.mode}).Err(), fmt.Sprintf("%s: access %d", x.user.Name, x.mode), want...)
		}
	})
	add("dir_lookup/permission-search-of-every-directory", Users, func(t *T) {
		t.Dir("a")
		t.Dir("a/b")
		t.Dir("a/b/c")
		f := t.File("a/b/c/f", "")
		op := Op{Call: "open", Path: f}
		t.WantAs(other, op, fine...)
		t.OK(syscall.Chmod(t.Path("a/b"), 0o700), "chmod")
		t.WantAs(other, op, denied...)
		t.OK(syscall.Chmod(t.Path("a/b"), 0o711), "chmod")
		t.WantAs(other, op, fine...)
		t.OK(syscall.Chmod(t.Path("a"), 0o700), "chmod")
		t.WantAs(other, op, denied...)
	})
	add("dir_lookup/permission-missing-in-a-closed-directory", Users, func(t *T) {
		// Whether something is there is nobody's business.
		t.DirMode("d", 0o700)
		t.WantAs(other, Op{Call: "stat", Path: t.Path("d/no")}, denied...)
	})
	add("dir_lookup/permission-link-into-a-closed-directory", Users, func(t *T) {
		t.DirMode("d", 0o700)
		t.File("d/f", "")
		l := t.Link("d/f", "l")
		t.WantAs(other, Op{Call: "open", Path: l}, denied...)
		t.WantAs(other, Op{Call: "readlink", Path: l}, fine...)
	})
	add("dir_lookup/permission-of-a-link-is-that-of-its-target", Users, func(t *T) {
		t.FileMode("f", "", 0o600)
		t.WantAs(other, Op{Call: "open", Path: t.Link("f", "l")}, denied...)
		t.OK(syscall.Chmod(t.Path("f"), 0o604), "chmod")
		t.WantAs(other, Op{Call: "open", Path: t.Path("l")}, fine...)
	})
	add("dir_lookup/permission-excl-create-says-it-exists", Users, func(t *T) {
		d := t.DirMode("d", 0o777)
		t.FileMode("d/f", "", 0)
		t.WantAs(other, Op{Call: "open", Path: d + "/f", Flags: syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL, Mode: 0o644}, syscall.EEXIST)
		t.WantAs(other, Op{Call: "open", Path: d + "/f", Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}, denied...)
	})
	add("dir_lookup/permission-O_TRUNC-needs-write", Users, func(t *T) {
		f := t.FileMode("f", "content", 0o644)
		// Or the descriptor, which is to read, cannot do it.
		t.WantAs(other, Op{Call: "open", Path: f, Flags: syscall.O_RDONLY | syscall.O_TRUNC}, syscall.EACCES, syscall.EBADF)
		t.Content(f, "content")
	})
	add("dir_lookup/permission-after-chmod", Users, func(t *T) {
		f := t.FileMode("f", "content", 0o644)
		t.WantAs(other, Op{Call: "hold", File: 1, Path: f}, fine...)
		t.OK(syscall.Chmod(f, 0o600), "chmod")
		t.WantAs(other, Op{Call: "open", Path: f}, denied...)
		out := t.As(other, Op{Call: "read", File: 1, Size: 3})
		t.Want(out.Err(), "reading what was open", 0)
		Equal(t, string(out.Data), "con", "content")
		t.WantAs(other, Op{Call: "close", File: 1}, fine...)
	})
	add("dir_link/permission-needs-write", Users, func(t *T) {
		d := t.DirMode("d", 0o755)
		t.WantAs(other, Op{Call: "link", Path: t.Chown(t.FileMode("f", "", 0o666), other), To: d + "/g"}, denied...)
	})
	add("dir_rename/permission-of-both-directories", Users, func(t *T) {
		a, b := t.Chown(t.Dir("a"), owner), t.Dir("b")
		t.Chown(t.File("a/f", ""), owner)
		t.WantAs(owner, Op{Call: "rename", Path: a + "/f", To: b + "/f"}, denied...)
		t.Chown(b, owner)
		t.WantAs(owner, Op{Call: "rename", Path: a + "/f", To: b + "/f"}, fine...)
	})
	add("dir_unlink/permission-is-the-directory's", Users, func(t *T) {
		d := t.DirMode("d", 0o777)
		t.FileMode("d/f", "", 0)
		t.WantAs(other, Op{Call: "unlink", Path: d + "/f"}, fine...)
	})
	add("dir_mkdir/permission-owner-of-what-is-new", Users, func(t *T) {
		d := t.DirMode("d", 0o777)
		t.WantAs(other, Op{Call: "mkdir", Path: d + "/e", Mode: 0o755}, fine...)
		t.WantAs(other, Op{Call: "open", Path: d + "/f", Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}, fine...)
		t.WantAs(other, Op{Call: "symlink", Path: d + "/l", To: "x"}, fine...)
		for _, n := range []string{"e", "f", "l"} {
			st := t.Lstat(d + "/" + n)
			Equal(t, int(st.Uid), other.UID, "owner of %s", n)
			if int(st.Gid) != other.GID && st.Gid != t.Stat(d).Gid {
				t.Errorf("group of %s is %d", n, st.Gid)
			}
		}
	})
	add("dir_mkdir/setgid-directory-gives-its-group", Users, func(t *T) {
		d := t.Dir("d")
		t.OK(syscall.Chown(d, 0, owner.GID), "chown")
		t.OK(syscall.Chmod(d, 0o2777), "chmod")
		t.WantAs(other, Op{Call: "open", Path: d + "/f", Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}, fine...)
		t.WantAs(other, Op{Call: "mkdir", Path: d + "/e", Mode: 0o755}, fine...)
		Equal(t, int(t.Stat(d+"/f").Gid), owner.GID, "group of a file")
		Equal(t, int(t.Stat(d+"/e").Gid), owner.GID, "group of a directory")
	})
	return cases
}

func ownerCases() []Case {
	own := func(t *T, mode uint32) string { return t.Chown(t.FileMode("x", "content", mode), owner) }
	chown := func(path string, uid, gid int) Op { return Op{Call: "chown", Path: path, UID: uid, GID: gid} }
	cases := []Case{
		{"file_chown/by-root", Root, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Chown(f, 12345, 54321), "chown")
			Equal(t, t.Stat(f).Uid, 12345, "owner")
			Equal(t, t.Stat(f).Gid, 54321, "group")
		}},
		{"file_chown/one-of-both", Root, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Chown(f, 12345, 54321), "chown")
			t.OK(syscall.Chown(f, -1, 2), "chown of the group")
			Equal(t, t.Stat(f).Uid, 12345, "owner")
			Equal(t, t.Stat(f).Gid, 2, "group")
			t.OK(syscall.Chown(f, 1, -1), "chown of the owner")
			Equal(t, t.Stat(f).Uid, 1, "owner")
			Equal(t, t.Stat(f).Gid, 2, "group")
		}},
		{"file_chown/large-ids", Root, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Chown(f, 1<<31-2, 1<<31-3), "chown")
			Equal(t, t.Stat(f).Uid, 1<<31-2, "owner")
			Equal(t, t.Stat(f).Gid, 1<<31-3, "group")
		}},
		{"file_chown/directory", Root, func(t *T) {
			d := t.Dir("d")
			t.File("d/f", "")
			t.OK(syscall.Chown(d, 7, 8), "chown")
			Equal(t, t.Stat(d).Uid, 7, "owner")
			Equal(t, t.Stat(d+"/f").Uid, 0, "owner of what is inside")
		}},
		{"file_chown/through-a-link", Root, func(t *T) {
			f := t.File("f", "")
			l := t.Link("f", "l")
			t.OK(syscall.Chown(l, 7, 8), "chown")
			Equal(t, t.Stat(f).Uid, 7, "owner of the file")
			Equal(t, t.Lstat(l).Uid, 0, "owner of the link")
		}},
		{"file_chown/link-itself", Root, func(t *T) {
			f := t.File("f", "")
			l := t.Link("f", "l")
			t.OK(syscall.Lchown(l, 7, 8), "lchown")
			Equal(t, t.Stat(f).Uid, 0, "owner of the file")
			Equal(t, t.Lstat(l).Uid, 7, "owner of the link")
		}},
		{"file_chown/by-descriptor", Root, func(t *T) {
			fd := t.Open(t.File("f", ""), syscall.O_RDONLY, 0)
			t.OK(syscall.Fchown(fd, 7, 8), "fchown")
			Equal(t, t.Fstat(fd).Uid, 7, "owner")
		}},
		{"file_chown/root-keeps-a-directory's-bits", Root, func(t *T) {
			d := t.DirMode("d", 0o1777)
			t.OK(syscall.Chown(d, 7, 8), "chown")
			Equal(t, t.Stat(d).Mode, syscall.S_IFDIR|0o1777, "mode")
		}},
		{"file_chown/owner-clears-setuid", Users, func(t *T) {
			f := own(t, 0)
			t.OK(syscall.Chmod(f, 0o4755), "chmod")
			// To the group it has, which the owner may.
			t.WantAs(owner, chown(f, -1, owner.GID), fine...)
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o755, "mode")
		}},
		{"file_chown/owner-clears-setgid", Users, func(t *T) {
			f := own(t, 0)
			t.OK(syscall.Chmod(f, 0o2755), "chmod")
			t.WantAs(owner, chown(f, -1, owner.GID), fine...)
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o755, "mode")
		}},
		{"file_chmod/owner-sets-setuid", Users, func(t *T) {
			f := own(t, 0o755)
			t.WantAs(owner, Op{Call: "chmod", Path: f, Mode: 0o4755}, fine...)
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o4755, "mode")
		}},
		{"file_chmod/setgid-of-a-foreign-group-is-cleared", Users, func(t *T) {
			f := own(t, 0o755)
			t.OK(syscall.Chown(f, owner.UID, other.GID), "chown")
			t.WantAs(owner, Op{Call: "chmod", Path: f, Mode: 0o2755}, 0, syscall.EPERM)
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o755, "mode")
		}},
		{"file_utimens/writer-sets-now", Users, func(t *T) {
			f := own(t, 0o666)
			t.OK(syscall.UtimesNano(f, times(1e9, 1e9)), "utimens")
			t.WantAs(other, Op{Call: "utimens", Path: f, Times: []syscall.Timespec{timeNow, timeNow}}, fine...)
			if nano(t.Stat(f).Mtim) == 1e9 {
				t.Errorf("mtime has not changed")
			}
		}},
		{"file_utimens/reader-sets-now", Users, func(t *T) {
			t.WantAs(other, Op{Call: "utimens", Path: own(t, 0o644), Times: []syscall.Timespec{timeNow, timeNow}}, either...)
		}},
		{"file_utimens/writer-sets-a-time", Users, func(t *T) {
			t.WantAs(other, Op{Call: "utimens", Path: own(t, 0o666), Times: times(3e9, 4e9)}, refused...)
		}},
		{"file_utimens/owner-who-may-not-write", Users, func(t *T) {
			f := own(t, 0)
			t.WantAs(owner, Op{Call: "utimens", Path: f, Times: times(3e9, 4e9)}, fine...)
			Equal(t, nano(t.Stat(f).Mtim), 4e9, "mtime")
		}},
	}
	for _, x := range []struct {
		name     string
		user     User
		uid, gid int
		want     []syscall.Errno
	}{
		{"owner-gives-away", owner, other.UID, -1, refused},
		{"owner-to-root", owner, 0, -1, refused},
		{"owner-to-itself", owner, owner.UID, -1, fine},
		{"owner-to-own-group", owner, -1, owner.GID, fine},
		{"owner-to-foreign-group", owner, -1, other.GID, refused},
		{"owner-both-as-they-are", owner, owner.UID, owner.GID, fine},
		{"member-takes", member, member.UID, -1, refused},
		{"other-takes", other, other.UID, other.GID, refused},
		{"other-to-own-group", other, -1, other.GID, refused},
	} {
		cases = append(cases, Case{"file_chown/" + x.name, Users, func(t *T) {
			f := own(t, 0o666)
			t.WantAs(x.user, chown(f, x.uid, x.gid), x.want...)
			if x.want[0] != 0 {
				st := t.Stat(f)
				Equal(t, [2]int{int(st.Uid), int(st.Gid)}, [2]int{owner.UID, owner.GID}, "owner and group")
			}
		}})
	}
	cases = append(cases, Case{"file_chown/owner-to-supplementary-group", Users, func(t *T) {
		f := t.Chown(t.File("f", ""), guest)
		t.WantAs(guest, chown(f, -1, guest.Groups[0]), fine...)
		Equal(t, int(t.Stat(f).Gid), guest.Groups[0], "group")
	}})
	for _, c := range classes {
		want := refused
		if c.user.UID == owner.UID {
			want = fine
		}
		cases = append(cases, Case{"file_chmod/by-" + c.name, Users, func(t *T) {
			f := own(t, 0o666)
			t.WantAs(c.user, Op{Call: "chmod", Path: f, Mode: 0o600}, want...)
			if want[0] != 0 {
				Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o666, "mode")
			}
		}})
	}
	return cases
}

func stickyCases() []Case {
	// In a sticky directory a name is removed by the file's owner, the
	// directory's, or root.
	type way struct {
		name string
		make func(t *T, owner User) string // what is removed
		op   func(path string) Op
	}
	ways := []way{
		{"dir_unlink", func(t *T, u User) string { return t.Chown(t.FileMode("d/x", "", 0o666), u) },
			func(p string) Op { return Op{Call: "unlink", Path: p} }},
		{"dir_rmdir", func(t *T, u User) string { return t.Chown(t.DirMode("d/x", 0o777), u) },
			func(p string) Op { return Op{Call: "rmdir", Path: p} }},
		{"dir_rename", func(t *T, u User) string { return t.Chown(t.FileMode("d/x", "", 0o666), u) },
			func(p string) Op { return Op{Call: "rename", Path: p, To: p + ".new"} }},
	}
	var cases []Case
	for _, w := range ways {
		for _, x := range []struct {
			name       string
			dir, owner User // the owners of the directory and of what is in it
			want       []syscall.Errno
		}{
			{"own-in-root's", root, other, fine},
			{"another's-in-root's", root, owner, either},
			{"another's-in-own", other, owner, fine},
			{"another's-in-another's", owner, owner, either},
		} {
			cases = append(cases, Case{w.name + "/sticky-" + x.name, Users, func(t *T) {
				d := t.Dir("d")
				path := w.make(t, x.owner)
				t.Chown(d, x.dir)
				t.OK(syscall.Chmod(d, 0o1777), "chmod")
				t.WantAs(other, w.op(path), x.want...)
				Equal(t, t.Exists("d/x"), x.want[0] != 0, "the name is there")
			}})
		}
		cases = append(cases, Case{w.name + "/sticky-as-root", Users, func(t *T) {
			d := t.Dir("d")
			path := w.make(t, owner)
			t.Chown(d, other)
			t.OK(syscall.Chmod(d, 0o1777), "chmod")
			t.Want(t.Do(w.op(path)).Err(), w.name, 0)
		}})
	}
	return append(cases,
		Case{"dir_rename/sticky-over-another's", Users, func(t *T) {
			d := t.DirMode("d", 0o1777)
			mine := t.Chown(t.File("d/mine", "mine"), other)
			t.Chown(t.FileMode("d/x", "x", 0o666), owner)
			t.WantAs(other, Op{Call: "rename", Path: mine, To: d + "/x"}, either...)
			t.Content(d+"/x", "x")
		}},
		Case{"dir_rename/sticky-over-own", Users, func(t *T) {
			d := t.DirMode("d", 0o1777)
			mine := t.Chown(t.File("d/mine", "mine"), other)
			t.Chown(t.File("d/x", "x"), other)
			t.WantAs(other, Op{Call: "rename", Path: mine, To: d + "/x"}, fine...)
			t.Content(d+"/x", "mine")
		}},
		Case{"dir_lookup/sticky-create", Users, func(t *T) {
			d := t.DirMode("d", 0o1777)
			t.WantAs(other, Op{Call: "open", Path: d + "/f", Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}, fine...)
		}},
	)
}
