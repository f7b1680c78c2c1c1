package mach_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"hurdlab/mach"
)

func TestDevices(t *testing.T) {
	privileged(t)
	leaks(t, func() {
		master := mach.DeviceMaster()
		_, err := mach.DeviceOpen(t.Context(), master, "no such device", mach.ModeRead)
		wantCode(t, err, mach.DevNoSuchDevice)
		if !strings.Contains(err.Error(), "no such device") {
			t.Errorf("the error does not name the device: %v", err)
		}
		_, err = mach.DeviceOpen(t.Context(), master, strings.Repeat("x", 128), mach.ModeRead)
		wantCode(t, err, mach.DevNoSuchDevice)

		// The kernel's clock, as memory.
		clock := must(mach.DeviceOpen(t.Context(), master, "time", mach.ModeRead))(t)
		object := must(mach.DeviceMap(t.Context(), clock, mach.ProtRead, 0, mach.PageSize))(t)
		addr := must(mach.VMMap(mach.TaskSelf(), mach.Mapping{
			Size: mach.PageSize, Anywhere: true, Object: object, Prot: mach.ProtRead, MaxProt: mach.ProtRead,
		}))(t)
		seconds := int64(binary.LittleEndian.Uint32(memoryAt(addr, 4)))
		now := must(mach.HostTime(mach.HostSelf()))(t)
		if d := now.Unix() - seconds; d < 0 || d > 2 {
			t.Errorf("the mapped clock is %d s behind host_get_time64", d)
		}
		check(t, mach.VMDeallocate(mach.TaskSelf(), addr, mach.PageSize))
		check(t, mach.Deallocate(object))
		check(t, mach.DeviceClose(clock))
		check(t, mach.Deallocate(clock))

		console := must(mach.DeviceOpen(t.Context(), master, "console", mach.ModeRead|mach.ModeWrite))(t)
		const text = "written to the device\n"
		if n := must(mach.DeviceWriteInband(t.Context(), console, 0, 0, []byte(text)))(t); n != len(text) {
			t.Errorf("wrote %d of %d bytes", n, len(text))
		}
		if n := must(mach.DeviceWrite(t.Context(), console, 0, 0, []byte(text)))(t); n != len(text) {
			t.Errorf("wrote %d of %d bytes", n, len(text))
		}
		// Nobody types.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = mach.DeviceReadInband(ctx, console, 0, 0, 10)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		_, err = mach.DeviceRead(ctx, console, 0, 0, 10)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		_, err = mach.DeviceGetStatus(console, mach.NetAddress)
		wantCode(t, err, mach.DevInvalidOperation)
		check(t, mach.Deallocate(console))
	})
}

func TestIOPerm(t *testing.T) {
	privileged(t)
	leaks(t, func() {
		perm := must(mach.IOPermCreate(mach.DeviceMaster(), 0x70, 0x71))(t)
		check(t, mach.IOPermModify(mach.TaskSelf(), perm, true))
		check(t, mach.IOPermModify(mach.TaskSelf(), perm, false))
		check(t, mach.Deallocate(perm))
	})
}

func TestInterruptRegistration(t *testing.T) {
	privileged(t)
	irq := must(mach.DeviceOpen(t.Context(), mach.DeviceMaster(), "irq", mach.ModeRead|mach.ModeWrite))(t)
	r := receiver(t)
	check(t, mach.DeviceIntrRegister(irq, 5, r.Port()))
	check(t, r.Close())
	check(t, mach.Deallocate(irq))
}

func TestPortStatus(t *testing.T) {
	leaks(t, func() {
		self := mach.TaskSelf()
		p := must(mach.PortAllocate(self, mach.RightReceive))(t)
		set := must(mach.PortAllocate(self, mach.RightPortSet))(t)
		check(t, mach.PortMoveMember(self, p, set))
		check(t, mach.PortSetQueueLimit(self, p, 7))
		check(t, mach.PortSetSeqno(self, p, 1000))
		check(t, mach.Send(t.Context(), p, mach.MakeSend, mach.NewMessage(1)))
		check(t, mach.PortSetMakeSendCount(self, p, 3))
		s := must(mach.PortGetStatus(self, p))(t)
		want := mach.PortStatus{Set: set, Seqno: 1000, MakeSendCount: 3, QueueLimit: 7, Queued: 1, SendRights: true}
		if s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
		if m := must(mach.PortSetMembers(self, set))(t); len(m) != 1 || m[0] != p {
			t.Errorf("members %v, want %v", m, p)
		}
		check(t, mach.PortMoveMember(self, p, mach.Null))
		check(t, mach.PortModRefs(self, set, mach.RightPortSet, -1))
		check(t, mach.PortSetPayload(self, p, 0x1234))
		check(t, mach.PortClearPayload(self, p))
		r := must(mach.AdoptReceive(p))(t)
		m := mach.NewMessage(0)
		check(t, r.Receive(t.Context(), m))
		if m.Seqno() != 1000 {
			t.Errorf("sequence number %d", m.Seqno())
		}
		mach.Destroy(m)
		check(t, r.Close())
		_, err := mach.PortTypeOf(self, p)
		wantCode(t, err, mach.KernInvalidName)
	})
}
