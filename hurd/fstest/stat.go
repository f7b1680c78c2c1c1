//go:build linux || hurd

package fstest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

func statCases() []Case {
	var cases []Case
	for _, x := range []struct {
		thing thing
		mode  uint32
	}{
		{aFile, syscall.S_IFREG}, {aDir, syscall.S_IFDIR}, {aLink, syscall.S_IFLNK}, {aFifo, syscall.S_IFIFO},
	} {
		cases = append(cases, Case{"io_stat/type-of-" + x.thing.name, x.thing.needs(), func(t *T) {
			Equal(t, t.Lstat(x.thing.make(t, "x")).Mode&syscall.S_IFMT, x.mode, "type")
		}})
	}
	return append(cases,
		Case{"io_stat/numbers-differ", 0, func(t *T) {
			seen := make(map[uint64]string)
			for i, x := range things {
				if x.needs() != 0 {
					continue
				}
				name := fmt.Sprint(i)
				st := t.Lstat(x.make(t, name))
				if was, ok := seen[uint64(st.Ino)]; ok {
					t.Errorf("%s and %s have the same number", name, was)
				}
				seen[uint64(st.Ino)] = name
				Equal(t, uint64(st.Dev), uint64(t.Stat(t.dir).Dev), "device of %s", name)
			}
		}},
		Case{"io_stat/by-descriptor", 0, func(t *T) {
			f := t.File("f", "content")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			a, b := t.Stat(f), t.Fstat(fd)
			Equal(t, b.Ino, a.Ino, "number")
			Equal(t, b.Size, a.Size, "size")
			Equal(t, b.Mode, a.Mode, "mode")
			Equal(t, b.Mtim, a.Mtim, "mtime")
		}},
		Case{"io_stat/size-and-blocks", 0, func(t *T) {
			f := t.File("f", strings.Repeat("x", 100_000))
			t.OK(syscall.Fsync(t.Open(f, syscall.O_RDONLY, 0)), "fsync")
			st := t.Stat(f)
			Equal(t, st.Size, 100_000, "size")
			if b := int64(st.Blocks) * 512; b < 100_000 || b > 200_000 {
				t.Errorf("%d blocks of 512 bytes for 100000", st.Blocks)
			}
			if st.Blksize <= 0 {
				t.Errorf("block size %d", st.Blksize)
			}
		}},
		Case{"io_stat/links-of-a-file", 0, func(t *T) { Equal(t, t.Stat(t.File("f", "")).Nlink, 1, "links") }},
		Case{"io_stat/owner-of-a-new-file", 0, func(t *T) {
			st, d := t.Stat(t.File("f", "")), t.Stat(t.dir)
			Equal(t, int(st.Uid), os.Geteuid(), "owner")
			if int(st.Gid) != os.Getegid() && st.Gid != d.Gid {
				t.Errorf("group %d, want %d as the process or %d as the directory", st.Gid, os.Getegid(), d.Gid)
			}
		}},
		Case{"io_stat/stays-the-same", 0, func(t *T) {
			f := t.File("f", "content")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			a := t.Fstat(fd)
			t.LaterTick()
			b := t.Fstat(fd)
			Equal(t, b.Mtim, a.Mtim, "mtime")
			Equal(t, b.Ctim, a.Ctim, "ctime")
			Equal(t, b.Ino, a.Ino, "number")
		}},
		Case{"io_stat/device-of-devices", Devices, func(t *T) {
			st := t.statOrNil("/dev/null")
			if st == nil {
				t.Skipf("no /dev/null")
			}
			Equal(t, st.Mode&syscall.S_IFMT, syscall.S_IFCHR, "type")
		}},
	)
}

func timeCases() []Case {
	const long = int64(1e9) // long ago: 1970-01-01 00:00:01, in nanoseconds
	// A change says which of a file's times it changes.
	type change struct {
		name         string
		mtime, ctime bool
		do           func(t *T, path string)
	}
	changes := []change{
		{"io_write", true, true, func(t *T, p string) { t.Write(t.Open(p, syscall.O_WRONLY, 0), "x") }},
		{"io_write/append", true, true, func(t *T, p string) { t.Write(t.Open(p, syscall.O_WRONLY|syscall.O_APPEND, 0), "x") }},
		{"file_set_size", true, true, func(t *T, p string) { t.OK(syscall.Truncate(p, 1), "truncate") }},
		{"dir_lookup/O_TRUNC", true, true, func(t *T, p string) { t.Open(p, syscall.O_WRONLY|syscall.O_TRUNC, 0) }},
		{"file_chmod", false, true, func(t *T, p string) { t.OK(syscall.Chmod(p, 0o600), "chmod") }},
		{"file_chown", false, true, func(t *T, p string) { t.OK(syscall.Chown(p, os.Geteuid(), os.Getegid()), "chown") }},
		{"dir_link", false, true, func(t *T, p string) { t.OK(syscall.Link(p, p+".link"), "link") }},
		{"file_utimens", false, true, func(t *T, p string) { t.OK(syscall.UtimesNano(p, times(long, long)), "utimens") }},
		{"dir_lookup", false, false, func(t *T, p string) { t.Open(p, syscall.O_RDWR, 0) }},
		{"io_read", false, false, func(t *T, p string) { t.Read(t.Open(p, syscall.O_RDONLY, 0), 100) }},
		{"io_stat", false, false, func(t *T, p string) { t.Stat(p) }},
		{"file_check_access", false, false, func(t *T, p string) { t.OK(syscall.Access(p, 4), "access") }},
	}
	var cases []Case
	for _, x := range changes {
		var needs Feature
		if x.name == "dir_link" {
			needs = HardLinks
		}
		cases = append(cases, Case{"io_stat/times-after-" + strings.ReplaceAll(x.name, "/", "-"), needs, func(t *T) {
			f := t.File("f", "content")
			t.OK(syscall.UtimesNano(f, times(long, long)), "utimens")
			before := t.Stat(f)
			t.LaterTick()
			x.do(t, f)
			now := t.Stat(f)
			Equal(t, after(now.Mtim, before.Mtim), x.mtime, "mtime has changed")
			Equal(t, after(now.Ctim, before.Ctim), x.ctime, "ctime has changed")
		}})
	}
	for _, x := range []struct {
		name         string
		atime, mtime syscall.Timespec
		wantA, wantM int64 // nanoseconds; 0 = now, -1 = unchanged
	}{
		{"both", syscall.NsecToTimespec(3e9), syscall.NsecToTimespec(4e9), 3e9, 4e9},
		{"nanoseconds", syscall.NsecToTimespec(1e18 + 123456789), syscall.NsecToTimespec(1e18 + 987654321), 1e18 + 123456789, 1e18 + 987654321},
		{"epoch", syscall.Timespec{}, syscall.Timespec{}, 0, 0},
		{"2038", syscall.NsecToTimespec((1<<31 - 1) * 1e9), syscall.NsecToTimespec((1<<31 - 1) * 1e9), (1<<31 - 1) * 1e9, (1<<31 - 1) * 1e9},
		{"omit-atime", timeOmit, syscall.NsecToTimespec(4e9), -1, 4e9},
		{"omit-mtime", syscall.NsecToTimespec(3e9), timeOmit, 3e9, -1},
		{"omit-both", timeOmit, timeOmit, -1, -1},
		{"now-atime", timeNow, syscall.NsecToTimespec(4e9), -2, 4e9},
		{"now-mtime", syscall.NsecToTimespec(3e9), timeNow, 3e9, -2},
		{"now-both", timeNow, timeNow, -2, -2},
	} {
		cases = append(cases, Case{"file_utimens/" + x.name, 0, func(t *T) {
			const was = int64(7e9)
			f := t.File("f", "content")
			t.OK(syscall.UtimesNano(f, times(was, was)), "utimens")
			t.OK(syscall.UtimesNano(f, []syscall.Timespec{x.atime, x.mtime}), "utimens")
			st := t.Stat(f)
			check := func(what string, got syscall.Timespec, want int64) {
				switch want {
				case -1:
					Equal(t, nano(got), was, "%s", what)
				case -2:
					if d := time.Since(time.Unix(0, nano(got))); d < -time.Minute || d > time.Minute {
						t.Errorf("%s is %v from now", what, d)
					}
				default:
					Equal(t, nano(got), want, "%s", what)
				}
			}
			check("atime", st.Atim, x.wantA)
			check("mtime", st.Mtim, x.wantM)
		}})
	}
	for _, x := range []struct {
		name string
		nsec int64
	}{{"a-second-of-nanoseconds", 1e9}, {"negative-nanoseconds", -7}} {
		cases = append(cases, Case{"file_utimens/" + x.name, 0, func(t *T) {
			f := t.File("f", "")
			ts := times(1e9, 1e9)
			setTo(&ts[1].Nsec, x.nsec)
			t.Want(syscall.UtimesNano(f, ts), "utimens", syscall.EINVAL)
		}})
	}
	return append(cases,
		Case{"io_read/changes-atime", AccessTimes, func(t *T) {
			f := t.File("f", "content")
			// An atime before the mtime changes even where others do not.
			t.OK(syscall.UtimesNano(f, times(1e9, 2e9)), "utimens")
			t.Read(t.Open(f, syscall.O_RDONLY, 0), 3)
			if nano(t.Stat(f).Atim) == 1e9 {
				t.Errorf("atime has not changed")
			}
		}},
		Case{"dir_readdir/changes-atime", AccessTimes, func(t *T) {
			d := t.Dir("d")
			t.File("d/f", "")
			t.OK(syscall.UtimesNano(d, times(1e9, 2e9)), "utimens")
			t.Names(d)
			if nano(t.Stat(d).Atim) == 1e9 {
				t.Errorf("atime has not changed")
			}
		}},
		Case{"file_utimens/directory", 0, func(t *T) {
			d := t.Dir("d")
			t.OK(syscall.UtimesNano(d, times(3e9, 4e9)), "utimens")
			Equal(t, nano(t.Stat(d).Mtim), 4e9, "mtime")
		}},
		Case{"io_stat/time-of-a-new-file-is-now", 0, func(t *T) {
			st := t.Stat(t.File("f", ""))
			for what, ts := range map[string]syscall.Timespec{"atime": st.Atim, "mtime": st.Mtim, "ctime": st.Ctim} {
				if d := time.Since(time.Unix(0, nano(ts))); d < -time.Minute || d > time.Minute {
					t.Errorf("%s is %v from now", what, d)
				}
			}
		}},
		Case{"io_write/times-of-each", 0, func(t *T) {
			fd := t.Open(t.Path("f"), syscall.O_RDWR|syscall.O_CREAT, 0o644)
			for i := range 3 {
				before := t.Fstat(fd).Mtim
				t.LaterTick()
				t.Write(fd, "x")
				if !after(t.Fstat(fd).Mtim, before) {
					t.Errorf("mtime has not changed with write %d", i)
				}
			}
		}},
		Case{"io_seek/keeps-times", 0, func(t *T) {
			f := t.File("f", "content")
			before := t.Stat(f)
			t.LaterTick()
			t.Seek(t.Open(f, syscall.O_RDWR, 0), 100, io.SeekStart)
			Equal(t, t.Stat(f).Mtim, before.Mtim, "mtime")
			Equal(t, t.Stat(f).Size, 7, "size")
		}},
	)
}

func modeCases() []Case {
	var cases []Case
	for _, mode := range []uint32{0, 0o400, 0o644, 0o777, 0o111, 0o4755, 0o2755, 0o6711, 0o7777} {
		cases = append(cases, Case{fmt.Sprintf("file_chmod/file-%04o", mode), Root, func(t *T) {
			f := t.File("f", "")
			t.OK(syscall.Chmod(f, mode), "chmod")
			// A file's sticky bit means nothing and may be left out.
			Equal(t, t.Stat(f).Mode&^syscall.S_ISVTX, syscall.S_IFREG|mode&^syscall.S_ISVTX, "mode")
		}})
	}
	for _, mode := range []uint32{0, 0o700, 0o1777, 0o2775, 0o3777} {
		cases = append(cases, Case{fmt.Sprintf("file_chmod/dir-%04o", mode), Root, func(t *T) {
			d := t.Dir("d")
			t.OK(syscall.Chmod(d, mode), "chmod")
			Equal(t, t.Stat(d).Mode, syscall.S_IFDIR|mode, "mode")
		}})
	}
	return append(cases,
		Case{"file_chmod/by-descriptor", 0, func(t *T) {
			fd := t.Open(t.File("f", ""), syscall.O_RDONLY, 0)
			t.OK(syscall.Fchmod(fd, 0o600), "fchmod")
			Equal(t, t.Fstat(fd).Mode, syscall.S_IFREG|0o600, "mode")
		}},
		Case{"file_chmod/keeps-the-type", 0, func(t *T) {
			f := t.File("f", "")
			syscall.Chmod(f, syscall.S_IFDIR|0o700)
			Equal(t, t.Stat(f).Mode&syscall.S_IFMT, syscall.S_IFREG, "type")
		}},
		Case{"file_chmod/open-descriptors-stay", 0, func(t *T) {
			f := t.File("f", "content")
			fd := t.Open(f, syscall.O_RDWR, 0)
			t.OK(syscall.Chmod(f, 0), "chmod")
			Equal(t, t.Read(fd, 3), "con", "content")
			t.Write(fd, "TENT")
		}},
		Case{"file_chmod/ignores-the-umask", 0, func(t *T) {
			t.Umask(0o777)
			f := t.Path("f")
			fd, err := open(f, syscall.O_CREAT|syscall.O_WRONLY, 0o644)
			t.OK(err, "create")
			syscall.Close(fd)
			t.OK(syscall.Chmod(f, 0o666), "chmod")
			Equal(t, t.Stat(f).Mode, syscall.S_IFREG|0o666, "mode")
		}},
		Case{"file_chmod/unlinked-file", 0, func(t *T) {
			f := t.File("f", "")
			fd := t.Open(f, syscall.O_RDONLY, 0)
			t.OK(syscall.Unlink(f), "unlink")
			t.OK(syscall.Fchmod(fd, 0o700), "fchmod")
			Equal(t, t.Fstat(fd).Mode, syscall.S_IFREG|0o700, "mode")
		}},
	)
}
