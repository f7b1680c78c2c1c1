package mach_test

import (
	"context"
	"encoding/binary"
	"syscall"
	"testing"
	"unsafe"

	"hurdlab/mach"
)

// The benchmarks compare with the least that the same thing can cost: a
// metric "x" is the ratio to the trap mach_msg with a request that is ready
// made, host_get_uptime64.

func BenchmarkCall(b *testing.B) {
	var base float64 // ns of the trap, from the first benchmark
	ratio := func(b *testing.B) {
		ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		if base == 0 {
			base = ns
		}
		b.ReportMetric(ns/base, "x")
	}
	b.Run("trap", func(b *testing.B) {
		buf := make([]byte, 256)
		le := binary.LittleEndian
		for b.Loop() {
			le.PutUint32(buf, uint32(mach.CopySend)|uint32(mach.MakeSendOnce)<<8)
			le.PutUint32(buf[8:], uint32(mach.HostSelf()))
			le.PutUint32(buf[20:], 2647)
			const sendReceive = 3
			if code := syscall.MachMsg(unsafe.Pointer(&buf[0]), sendReceive, 24, uint32(len(buf)), 0, 0); code != 0 {
				b.Fatalf("mach_msg: %#x", code)
			}
		}
		ratio(b)
	})
	b.Run("kernel", func(b *testing.B) {
		b.ReportAllocs()
		m := mach.NewMessage(0)
		for b.Loop() {
			mach.Reset(m, 2647)
			check(b, mach.CallKernel(mach.HostSelf(), m))
			mach.Destroy(m)
		}
		ratio(b)
	})
	b.Run("kernel typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := mach.HostUptime(mach.HostSelf()); err != nil {
				b.Fatal(err)
			}
		}
		ratio(b)
	})
	b.Run("kernel parked", func(b *testing.B) {
		b.ReportAllocs()
		m := mach.NewMessage(0)
		for b.Loop() {
			mach.Reset(m, 2647)
			check(b, mach.Call(context.Background(), mach.HostSelf(), m))
			mach.Destroy(m)
		}
		ratio(b)
	})
	b.Run("goroutine", func(b *testing.B) {
		b.ReportAllocs()
		port, stop := serve(b, echo)
		defer stop()
		m := mach.NewMessage(0)
		for b.Loop() {
			check(b, callEcho(context.Background(), port, m, 1))
		}
		ratio(b)
	})
	b.Run("port set", func(b *testing.B) {
		b.ReportAllocs()
		s := must(mach.NewPortSet())(b)
		port := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(b)
		check(b, mach.PortInsertRight(mach.TaskSelf(), port, port, mach.MakeSend))
		check(b, s.Add(port))
		done := make(chan error)
		go func() { done <- mach.Serve(context.Background(), s, echo) }()
		m := mach.NewMessage(0)
		for b.Loop() {
			check(b, callEcho(context.Background(), port, m, 1))
		}
		ratio(b)
		check(b, s.Close())
		<-done
		check(b, mach.DestroyReceive(port))
		check(b, mach.Deallocate(port))
	})
	b.Run("goroutine with context", func(b *testing.B) {
		b.ReportAllocs()
		port, stop := serve(b, echo)
		defer stop()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		m := mach.NewMessage(0)
		for b.Loop() {
			check(b, callEcho(ctx, port, m, 1))
		}
		ratio(b)
	})
	b.Run("task", func(b *testing.B) {
		b.ReportAllocs()
		port, task := startEcho(b)
		m := mach.NewMessage(0)
		for b.Loop() {
			mach.Reset(m, 7000)
			m.PutInt32(0)
			check(b, mach.Call(context.Background(), port, m))
			mach.Destroy(m)
		}
		ratio(b)
		endTask(b, task)
		check(b, mach.Deallocate(port))
	})
}

func BenchmarkData(b *testing.B) {
	port, stop := serve(b, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
		sum := int32(0)
		data := req.TakeData(-1)
		for i := 0; i < len(data); i += mach.PageSize {
			sum += int32(data[i])
		}
		reply.PutInt32(sum)
		return nil
	}))
	defer stop()
	for _, c := range []struct {
		name string
		size int
	}{{"inline 1K", 1 << 10}, {"inline 2K", 2 << 10}, {"out of line 4K", 4 << 10}, {"out of line 64K", 64 << 10}, {"out of line 1M", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			data := make([]byte, c.size)
			b.SetBytes(int64(c.size))
			m := mach.NewMessage(0)
			for b.Loop() {
				mach.Reset(m, 1)
				m.PutData(mach.Byte, data)
				check(b, mach.Call(context.Background(), port, m))
				mach.Destroy(m)
			}
		})
	}
}
