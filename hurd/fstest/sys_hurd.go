package fstest

import (
	"context"
	"encoding/binary"
	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
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

// direntOf is the first entry of what ReadDirent gives (hurd-protocol.md 5.5).
func direntOf(b []byte) (ino uint64, reclen int, name string) {
	ino = binary.LittleEndian.Uint64(b)
	reclen = int(binary.LittleEndian.Uint16(b[8:]))
	name, _, _ = strings.Cut(string(b[12:reclen]), "\x00")
	return ino, reclen, name
}

// haveProtocol says whether the file systems of this OS speak it.
const haveProtocol = true

// runHere runs a case about the protocol in a directory that it makes.
func runHere(ctx context.Context, c Case, dir string, timeout time.Duration) Result {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Result{Name: c.Name, Status: Failed, Why: err.Error()}
	}
	self := hurd.Self()
	port, err := self.Lookup(ctx, dir, proto.O_READ, 0)
	if err != nil {
		return Result{Name: c.Name, Status: Failed, Why: err.Error()}
	}
	defer proto.Release(ctx, port)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := &P{T: &T{ctx: ctx}, self: self, ports: new(ports.Kernel), call: mach.Call, dir: port}
	r := p.runCase(c, timeout)
	if r.Status != Failed {
		if err := removeAll(dir); err != nil {
			r.Status, r.Why = Failed, "what it has made cannot be removed: "+err.Error()
		}
	}
	return r
}
