package mach_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"time"

	"hurdlab/mach"
)

// Tests on a real kernel, for GOOS=hurd: the test binary is the only task of
// a machine that boots GNU Mach.

// The kernel gives a boot module these, for package runtime.
var (
	_ = flag.Int("host-port", 0, "name of the privileged host port")
	_ = flag.Int("device-port", 0, "name of the device master port")
)

func must[T any](x T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code mach.KernReturn) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("got error %v, want %s", err, code.Name())
	}
}

// rights counts the rights of this task by kind, and the references to each
// send right or dead name, without the reply ports that wait to be used again.
func rights(t testing.TB) map[string]int {
	t.Helper()
	names, types, err := mach.PortNames(mach.TaskSelf())
	check(t, err)
	n := map[string]int{}
	for i, p := range names {
		for _, k := range []struct {
			name string
			bit  mach.PortType
			kind mach.Right
		}{
			{"receive", mach.TypeReceive, mach.RightReceive}, {"send", mach.TypeSend, mach.RightSend},
			{"send-once", mach.TypeSendOnce, mach.RightSendOnce}, {"dead", mach.TypeDeadName, mach.RightDeadName},
			{"set", mach.TypePortSet, mach.RightPortSet},
		} {
			if types[i]&k.bit == 0 {
				continue
			}
			refs, err := mach.PortGetRefs(mach.TaskSelf(), p, k.kind)
			if errors.Is(err, mach.KernInvalidName) {
				continue // gone since, with a thread
			}
			check(t, err)
			n[k.name] += refs
		}
	}
	// The two calls above have used one, so that its number is right now.
	n["receive"] -= mach.IdleReplyPorts()
	return n
}

// leaks runs f until it leaves the task with no more rights than before. It
// fails if there are more each time; the first times may start threads.
func leaks(t *testing.T, f func()) {
	t.Helper()
	history := []map[string]int{rights(t)}
	for range 6 {
		f()
		before, now := history[len(history)-1], rights(t)
		more := false
		for kind := range now {
			more = more || now[kind] > before[kind]
		}
		if !more {
			return
		}
		history = append(history, now)
	}
	t.Errorf("rights after each run: %v", history)
}

// privileged skips a test that needs what only the first task of a machine
// has.
func privileged(t *testing.T) {
	t.Helper()
	if mach.HostPriv() == mach.Null || mach.DeviceMaster() == mach.Null {
		t.Skip("not started by the kernel: no privileged ports")
	}
}

func receiver(t testing.TB) *mach.Receiver {
	t.Helper()
	r := must(mach.NewReceiver())(t)
	return r
}

// serve starts a server with h and returns a send right to it, and a function
// that ends it and gives everything back.
func serve(t testing.TB, h mach.Handler) (mach.Port, func()) {
	t.Helper()
	r := receiver(t)
	port := must(r.MakeSend())(t)
	done := make(chan error)
	go func() { done <- mach.Serve(context.Background(), r, h) }()
	return port, func() {
		check(t, r.Close())
		if err := <-done; !errors.Is(err, mach.RcvPortDied) {
			t.Errorf("Serve ended with %v", err)
		}
		check(t, mach.Deallocate(port))
	}
}

// echo answers 5000 with the integer that it is given, plus 1.
var echo = mach.Routines{5000: func(ctx context.Context, req, reply *mach.Message) error {
	x := req.TakeInt32()
	if err := req.End(); err != nil {
		return mach.MigBadArguments
	}
	reply.PutInt32(x + 1)
	return nil
}}

func callEcho(ctx context.Context, port mach.Port, m *mach.Message, x int32) error {
	mach.Reset(m, 5000)
	m.PutInt32(x)
	if err := mach.Call(ctx, port, m); err != nil {
		return err
	}
	y := m.TakeInt32()
	if err := m.End(); err != nil {
		return err
	}
	if y != x+1 {
		return fmt.Errorf("got %d for %d", y, x)
	}
	return nil
}

func TestCall(t *testing.T) {
	leaks(t, func() {
		port, stop := serve(t, echo)
		defer stop()
		m := mach.NewMessage(0)
		for x := range int32(100) {
			check(t, callEcho(t.Context(), port, m, x))
		}
		// Errors of the server.
		m = mach.NewMessage(5001)
		wantCode(t, mach.Call(t.Context(), port, m), mach.MigBadID)
		m = mach.NewMessage(5000)
		m.PutBool(true)
		wantCode(t, mach.Call(t.Context(), port, m), mach.MigBadArguments)
	})
}

func TestCallMany(t *testing.T) {
	leaks(t, func() {
		port, stop := serve(t, echo)
		defer stop()
		var wg sync.WaitGroup
		for g := range 50 {
			wg.Go(func() {
				m := mach.NewMessage(0)
				for i := range 20 {
					if err := callEcho(t.Context(), port, m, int32(g*1000+i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestHost(t *testing.T) {
	v := must(mach.HostKernelVersion(mach.HostSelf()))(t)
	t.Log(v)
	info := must(mach.HostBasicInfo(mach.HostSelf()))(t)
	t.Logf("%+v", info)
	up := must(mach.HostUptime(mach.HostSelf()))(t)
	now := must(mach.HostTime(mach.HostSelf()))(t)
	t.Log(up, now)
	if up <= 0 || up > time.Hour || info.CPUs < 1 || info.Memory < 16<<20 {
		t.Error("implausible")
	}
}

// A server's error is the system's own, with its text.
func TestErrnoIsSyscalls(t *testing.T) {
	err := mach.Errno(2).Err()
	if !errors.Is(err, syscall.ENOENT) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EPERM) {
		t.Errorf("%v: is not ENOENT and fs.ErrNotExist alone", err)
	}
	if got, want := err.Error(), syscall.ENOENT.Error(); got != want {
		t.Errorf("ENOENT reads %q, want %q", got, want)
	}
}
