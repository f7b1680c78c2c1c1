package fstest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// The times that mean the present, and no change (hurd-protocol.md 5.6).
var (
	timeNow  = syscall.Timespec{Nsec: -1}
	timeOmit = syscall.Timespec{Nsec: -2}
)

func self() (string, error) { return os.Executable() }

func becomes(cmd *exec.Cmd, u User) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: u.supplementary()},
	}
}

func protocolCases() []Case { return nil }

// direntOf is the first entry of what ReadDirent gives (hurd-protocol.md 5.5).
func direntOf(b []byte) (ino uint64, reclen int, name string) {
	ino = binary.LittleEndian.Uint64(b)
	reclen = int(binary.LittleEndian.Uint16(b[8:]))
	name, _, _ = strings.Cut(string(b[12:reclen]), "\x00")
	return ino, reclen, name
}
