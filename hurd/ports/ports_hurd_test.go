package ports_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A stream is an object whose reads wait for its data.
type stream struct {
	proto.UnimplementedIO
	data  chan []byte
	began chan struct{}
}

func newStream() *stream { return &stream{data: make(chan []byte), began: make(chan struct{}, 1000)} }

func (s *stream) IORead(ctx context.Context, _ int64, _ uint64) ([]byte, error) {
	s.began <- struct{}{}
	select {
	case b := <-s.data:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stream) IOReadable(context.Context) (uint64, error) { return 7, nil }

func export(t *testing.T, k *ports.Kernel, h any, o ports.Options) (mach.Port, ports.Port) {
	t.Helper()
	p, err := k.Export(proto.Handler(h), o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Right()
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func within(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
}

func TestARequestThatWaitsHoldsUpNoOther(t *testing.T) {
	var k ports.Kernel
	s := newStream()
	p, _ := export(t, &k, s, ports.Options{})
	read := make(chan error, 1)
	go func() {
		b, err := proto.IORead(t.Context(), p, -1, 10)
		if err == nil && string(b) != "x" {
			err = errors.New(string(b))
		}
		read <- err
	}()
	within(t, s.began, "the read has not begun")
	if n, err := proto.IOReadable(t.Context(), p); n != 7 || err != nil {
		t.Errorf("readable: %d, %v", n, err)
	}
	s.data <- []byte("x")
	if err := <-read; err != nil {
		t.Error(err)
	}
	proto.Release(t.Context(), p)
}

func TestInterruption(t *testing.T) {
	var k ports.Kernel
	s := newStream()
	p, _ := export(t, &k, s, ports.Options{})
	defer proto.Release(context.Background(), p)
	read := make(chan error, 1)
	go func() {
		_, err := proto.IORead(context.Background(), p, -1, 10)
		read <- err
	}()
	within(t, s.began, "the read has not begun")
	if err := proto.InterruptOperation(t.Context(), p); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, proto.EINTR) {
		t.Errorf("interrupted: %v", err)
	}
	// A client that gives up interrupts by itself.
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, err := proto.IORead(ctx, p, -1, 10)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	}()
	within(t, s.began, "the read has not begun")
	cancel()
	within(t, gone, "the read goes on")
}

func TestGoneWithTheLastRight(t *testing.T) {
	var k ports.Kernel
	s := newStream()
	gone := make(chan struct{})
	r, p := export(t, &k, s, ports.Options{Gone: func() { close(gone) }})
	if h, ok := k.Lookup(r); !ok || h == nil {
		t.Error("the object is not found")
	}
	for range 10 {
		q, err := p.Right()
		if err != nil {
			t.Fatal(err)
		}
		proto.Release(t.Context(), q)
	}
	// A request that waits does not keep the port: its client has gone.
	go proto.IORead(context.Background(), r, -1, 1)
	within(t, s.began, "the read has not begun")
	select {
	case <-gone:
		t.Fatal("gone too early")
	default:
	}
	proto.Release(t.Context(), r)
	within(t, gone, "not gone")
	if _, ok := k.Lookup(r); ok || k.Len() != 0 {
		t.Errorf("%d objects are left", k.Len())
	}
	if _, err := p.Right(); err == nil {
		t.Error("a right to a port that is gone")
	}
}

func TestClose(t *testing.T) {
	var k ports.Kernel
	s := newStream()
	r, p := export(t, &k, s, ports.Options{Gone: func() { t.Error("gone") }})
	read := make(chan error, 1)
	go func() {
		_, err := proto.IORead(context.Background(), r, -1, 10)
		read <- err
	}()
	within(t, s.began, "the read has not begun")
	p.Close()
	if err := <-read; !errors.Is(err, proto.EINTR) && !errors.Is(err, mach.MigServerDied) {
		t.Errorf("read from a port that was closed: %v", err)
	}
	if _, err := proto.IOReadable(t.Context(), r); !errors.Is(err, mach.SendInvalidDest) {
		t.Errorf("after close: %v", err)
	}
	proto.Release(t.Context(), r)
}

func TestAFloodIsRefused(t *testing.T) {
	var k ports.Kernel
	s := newStream()
	p, port := export(t, &k, s, ports.Options{})
	defer port.Close()
	const many = 600 // more than may run
	var wg sync.WaitGroup
	refused := make(chan struct{}, many)
	ctx, cancel := context.WithCancel(context.Background())
	for range many {
		wg.Go(func() {
			if _, err := proto.IORead(ctx, p, -1, 10); errors.Is(err, proto.EAGAIN) {
				refused <- struct{}{}
			}
		})
	}
	for range 50 {
		within(t, refused, "nothing is refused")
	}
	cancel()
	wg.Wait()
}
