package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"hurdlab/images"
	"hurdlab/images/debian/overlay"
	"hurdlab/lab/api"
	"hurdlab/lab/problem"
)

// shutdownTime is how long a node may take to end in good order.
const shutdownTime = 3 * time.Minute

// machine is what the node boots as, which has a disk.
func (n *Node) machine() (*images.Machine, error) {
	c, err := n.lab.spec.Node(n.name)
	if err != nil {
		return nil, err
	}
	if c.Machine.Disk == "" {
		return nil, problem.New(n.name+" has no disk", "take an image that has one: hurdlab up --image debian")
	}
	return &c.Machine, nil
}

// Ensure boots the node if it is not up.
func (n *Node) Ensure(ctx context.Context) error {
	s, err := n.Status(ctx)
	switch {
	case err != nil || s.State == api.Up:
		return err
	case s.State == api.Booting:
		_, err := n.WaitState(ctx, api.Up)
		return err
	case s.State == api.Panicked:
		return n.Restart(ctx)
	}
	return n.Boot(ctx)
}

// Shutdown ends the node's system in good order. Its machine, which ends when the system
// asks for a reboot, is dead then.
func (n *Node) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, shutdownTime, errors.New("it takes too long"))
	defer cancel()
	// The connection may be lost before the command has ended, and with it how it ended.
	r, err := n.Run(ctx, "sh", "-c", "sync; reboot")
	if err == nil && !r.Ok() {
		return fmt.Errorf("%s: reboot: %v: %s", n.name, r.Exit, strings.TrimSpace(r.Stderr))
	}
	if _, err := n.WaitState(ctx, api.Dead); err != nil {
		return fmt.Errorf("shut %s down: %w", n.name, err)
	}
	return nil
}

// Reboot ends the node's system in good order and boots it.
func (n *Node) Reboot(ctx context.Context) error {
	if err := n.Shutdown(ctx); err != nil {
		return err
	}
	return n.Boot(ctx)
}

// Snapshot keeps what is on the node's disk by a name, in place of what was kept by it.
func (n *Node) Snapshot(ctx context.Context, name string) error {
	m, err := n.machine()
	if err != nil {
		return err
	}
	if err := n.Forget(ctx, name); err != nil {
		return err
	}
	return n.snapshotCommand(ctx, "blockdev-snapshot-internal-sync", m.DiskDevice, name)
}

func (n *Node) snapshotCommand(ctx context.Context, command, device, name string) error {
	args, err := json.Marshal(map[string]string{"device": device, "name": name})
	if err != nil {
		return err
	}
	return n.QMP(ctx, api.Command{Execute: command, Arguments: args}, nil)
}

// snapshot says whether there is one of that name.
func (n *Node) snapshot(ctx context.Context, m *images.Machine, name string) (bool, error) {
	out, err := qemuImg(ctx, "info", "-U", "--output=json", m.Disk)
	if err != nil {
		return false, err
	}
	var info struct{ Snapshots []struct{ Name string } }
	if err := json.Unmarshal(out, &info); err != nil {
		return false, fmt.Errorf("qemu-img info %s: %w", m.Disk, err)
	}
	for _, s := range info.Snapshots {
		if s.Name == name {
			return true, nil
		}
	}
	return false, nil
}

// Forget drops what was kept by a name, if anything was.
func (n *Node) Forget(ctx context.Context, name string) error {
	m, err := n.machine()
	if err != nil {
		return err
	}
	if there, err := n.snapshot(ctx, m, name); err != nil || !there {
		return err
	}
	s, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if s.State == api.Off || s.State == api.Dead {
		_, err = qemuImg(ctx, "snapshot", "-d", name, m.Disk)
		return err
	}
	return n.snapshotCommand(ctx, "blockdev-snapshot-delete-internal-sync", m.DiskDevice, name)
}

// Revert cuts the node's power, brings back what was kept by a name, and boots it.
func (n *Node) Revert(ctx context.Context, name string) error {
	m, err := n.machine()
	if err != nil {
		return err
	}
	s, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if s.State != api.Off && s.State != api.Dead {
		if err := n.Kill(ctx); err != nil {
			return err
		}
	}
	if _, err := qemuImg(ctx, "snapshot", "-a", name, m.Disk); err != nil {
		return err
	}
	return n.Boot(ctx)
}

// Reset cuts the node's power, gives it the disk that it had when the lab was started, and
// boots it.
func (n *Node) Reset(ctx context.Context) error {
	m, err := n.machine()
	if err != nil {
		return err
	}
	there, err := n.snapshot(ctx, m, overlay.Prepared)
	if err != nil {
		return err
	}
	if !there {
		return problem.New("the disk of "+n.name+" has not kept what it was", fmt.Sprintf("start the lab again: hurdlab down --name %[1]s, hurdlab up --name %[1]s", n.lab.spec.Name))
	}
	return n.Revert(ctx, overlay.Prepared)
}

// CopyDisk shuts the node down, writes its disk to a raw file, and boots it.
func (n *Node) CopyDisk(ctx context.Context, file string) error {
	m, err := n.machine()
	if err != nil {
		return err
	}
	s, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if s.State == api.Up {
		if err := n.Shutdown(ctx); err != nil {
			return err
		}
	}
	err = func() error {
		tmp := file + ".part"
		defer os.Remove(tmp)
		if _, err := qemuImg(ctx, "convert", "-O", "raw", m.Disk, tmp); err != nil {
			return err
		}
		return os.Rename(tmp, file)
	}()
	return errors.Join(err, n.Boot(ctx))
}

func qemuImg(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "qemu-img", args...).Output()
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("qemu-img %s: %w", args[0], err)
	}
	return out, nil
}
