//go:build linux || hurd

package fstest

import (
	"strings"
	"syscall"
)

// A pathCall is a routine of the file system that takes a name.
type pathCall struct {
	name string // begins the names of its cases
	// creates says that the last component need not exist.
	creates bool
	// follows says that a link as the last component is followed.
	follows bool
	call    func(t *T, path string) error
}

// pathCalls are all ways in which a name reaches a file system. Those with two
// names use a good one for the other.
var pathCalls = []pathCall{
	{"dir_lookup/open", false, true, func(t *T, path string) error {
		return t.Do(Op{Call: "open", Path: path, Flags: syscall.O_RDONLY}).Err()
	}},
	{"dir_lookup/create", true, true, func(t *T, path string) error {
		return t.Do(Op{Call: "open", Path: path, Flags: syscall.O_WRONLY | syscall.O_CREAT, Mode: 0o644}).Err()
	}},
	{"io_stat/stat", false, true, func(t *T, path string) error { return t.Do(Op{Call: "stat", Path: path}).Err() }},
	{"io_stat/lstat", false, false, func(t *T, path string) error { return t.Do(Op{Call: "lstat", Path: path}).Err() }},
	{"file_check_access", false, true, func(t *T, path string) error { return t.Do(Op{Call: "access", Path: path}).Err() }},
	{"dir_readdir", false, true, func(t *T, path string) error { return t.Do(Op{Call: "readdir", Path: path}).Err() }},
	{"dir_mkdir", true, false, func(t *T, path string) error {
		return t.Do(Op{Call: "mkdir", Path: path, Mode: 0o755}).Err()
	}},
	{"dir_rmdir", false, false, func(t *T, path string) error { return t.Do(Op{Call: "rmdir", Path: path}).Err() }},
	{"dir_unlink", false, false, func(t *T, path string) error { return t.Do(Op{Call: "unlink", Path: path}).Err() }},
	{"dir_rename/from", false, false, func(t *T, path string) error {
		return t.Do(Op{Call: "rename", Path: path, To: t.Path("good")}).Err()
	}},
	{"dir_rename/to", true, false, func(t *T, path string) error {
		return t.Do(Op{Call: "rename", Path: t.File("good", ""), To: path}).Err()
	}},
	{"dir_link/from", false, false, func(t *T, path string) error {
		return t.Do(Op{Call: "link", Path: path, To: t.Path("good")}).Err()
	}},
	{"dir_link/to", true, false, func(t *T, path string) error {
		return t.Do(Op{Call: "link", Path: t.File("good", ""), To: path}).Err()
	}},
	{"dir_mkfile/symlink", true, false, func(t *T, path string) error {
		return t.Do(Op{Call: "symlink", Path: path, To: "target"}).Err()
	}},
	{"io_read/readlink", false, false, func(t *T, path string) error { return t.Do(Op{Call: "readlink", Path: path}).Err() }},
	{"dir_mkfile/fifo", true, false, func(t *T, path string) error {
		return t.Do(Op{Call: "mkfifo", Path: path, Mode: 0o644}).Err()
	}},
	{"file_chmod", false, true, func(t *T, path string) error {
		return t.Do(Op{Call: "chmod", Path: path, Mode: 0o644}).Err()
	}},
	{"file_chown", false, true, func(t *T, path string) error {
		return t.Do(Op{Call: "chown", Path: path, UID: -1, GID: -1}).Err()
	}},
	{"file_set_size", false, true, func(t *T, path string) error { return t.Do(Op{Call: "truncate", Path: path}).Err() }},
	{"file_utimens", false, true, func(t *T, path string) error {
		return t.Do(Op{Call: "utimens", Path: path, Times: times(1e9, 2e9)}).Err()
	}},
}

// badPathCases are that every routine says the same about a name that leads
// nowhere.
func badPathCases() []Case {
	type kind struct {
		name  string
		goes  func(c pathCall) bool
		setup func(t *T) (path string)
		want  syscall.Errno
	}
	always := func(pathCall) bool { return true }
	kinds := []kind{
		{"missing", func(c pathCall) bool { return !c.creates },
			func(t *T) string { return t.Path("no") }, syscall.ENOENT},
		{"missing-parent", always,
			func(t *T) string { return t.Path("no/x") }, syscall.ENOENT},
		{"through-a-file", always,
			func(t *T) string { return t.File("f", "") + "/x" }, syscall.ENOTDIR},
		{"through-a-dangling-link", always,
			func(t *T) string { return t.Link("nowhere", "l") + "/x" }, syscall.ENOENT},
		{"through-a-link-to-a-file", always,
			func(t *T) string { t.File("f", ""); return t.Link("f", "l") + "/x" }, syscall.ENOTDIR},
		{"through-a-loop", always,
			func(t *T) string { return t.Link("l", "l") + "/x" }, syscall.ELOOP},
		{"of-a-loop", func(c pathCall) bool { return c.follows },
			func(t *T) string { t.Link("b", "a"); return t.Link("a", "b") }, syscall.ELOOP},
		{"name-of-256", always,
			func(t *T) string { return t.Path(strings.Repeat("n", 256)) }, syscall.ENAMETOOLONG},
		{"empty", always,
			func(t *T) string { return "" }, syscall.ENOENT},
	}
	var cases []Case
	for _, c := range pathCalls {
		var needs Feature
		if strings.HasSuffix(c.name, "fifo") {
			needs = Fifos
		}
		for _, k := range kinds {
			if !k.goes(c) {
				continue
			}
			cases = append(cases, Case{c.name + "/" + k.name, needs, func(t *T) {
				path := k.setup(t)
				t.Want(c.call(t, path), c.name, k.want)
				if t.Exists("good") && c.name == "dir_rename/from" {
					t.Errorf("it has renamed something")
				}
			}})
		}
	}
	return cases
}
