package fstest

import (
	"context"
	"encoding/binary"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// The times that mean the present, and no change.
var (
	timeNow  = syscall.Timespec{Nsec: 1<<30 - 1}
	timeOmit = syscall.Timespec{Nsec: 1<<30 - 2}
)

// self is the running program, even for users who may not walk to it.
func self() (string, error) { return "/proc/self/exe", nil }

func becomes(cmd *exec.Cmd, u User) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: u.supplementary()},
		Pdeathsig:  syscall.SIGKILL,
	}
}

// direntOf is the first entry of what ReadDirent gives.
func direntOf(b []byte) (ino uint64, reclen int, name string) {
	ino = binary.NativeEndian.Uint64(b)
	reclen = int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ = strings.Cut(string(b[19:reclen]), "\x00")
	return ino, reclen, name
}

// haveProtocol says whether the file systems of this OS speak it.
const haveProtocol = false

func runHere(context.Context, Case, string, time.Duration) Result { panic("there is no protocol") }
