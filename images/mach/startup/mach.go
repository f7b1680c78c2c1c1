package startup

import (
	"context"
	"fmt"
	"time"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Mach is the machine's kernel.
type Mach struct {
	Deaths *deathwatch.Watcher
	// Console is the kernel's own, which is there whoever has died.
	Console mach.Port
}

var _ Kernel = Mach{}

func (k Mach) Watch(p mach.Port, f func()) (func(), error) { return k.Deaths.Watch(p, f) }

func (Mach) Retain(p mach.Port) error {
	return mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
}

func (Mach) Release(p ...mach.Port) { proto.Release(context.Background(), p...) }

func (Mach) Destroy(p mach.Port) { _ = mach.DestroyReceive(p) }

func (k Mach) Say(line string) {
	// The kernel writes at once; but whatever becomes of the line, what
	// follows must happen.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	const inband = mach.DeviceInband
	for b := []byte("\r\n" + line + "\r\n"); len(b) > 0; {
		n := min(len(b), inband)
		if _, err := mach.DeviceWriteInband(ctx, k.Console, mach.ModeWrite, 0, b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

func (k Mach) Reboot(hostPriv mach.Port, how int32) {
	if err := mach.HostReboot(hostPriv, int(how)); err != nil {
		k.Say(fmt.Sprintf("startup: the machine does not restart: %v", err))
	}
}

// NewTask makes an empty task.
func NewTask() (mach.Port, error) { return mach.TaskCreate(mach.TaskSelf(), false) }

// NewRendezvous makes a port for others to meet at. done destroys it.
func NewRendezvous() (proto.Right, func(), error) {
	p, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	if err != nil {
		return proto.Right{}, nil, err
	}
	return proto.Make(p), func() { _ = mach.DestroyReceive(p) }, nil
}
