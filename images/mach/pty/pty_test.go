package pty

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A screen is what has been written.
type screen struct {
	mu sync.Mutex
	strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Builder.Write(b)
}

func (s *screen) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.String()
}

type posted struct {
	group, signal int32
	id            mach.Port
}

func fixture(t *testing.T) (k *portstest.Kernel, term *Terminal, port mach.Port, s *screen, signals chan posted) {
	t.Helper()
	k = portstest.New(t, wire.Layout32)
	s, signals = new(screen), make(chan posted, 10)
	var err error
	term, err = New(&ioport.Host{Export: k}, translator.Root(), s, Size{Rows: 24, Columns: 80}, func(group, signal int32, id mach.Port) {
		signals <- posted{group, signal, id}
	})
	if err != nil {
		t.Fatal(err)
	}
	if port, err = term.Open(); err != nil {
		t.Fatal(err)
	}
	return k, term, port, s, signals
}

func TestTerminal(t *testing.T) { synctest.Test(t, testTerminal) }

func testTerminal(t *testing.T) {
	k, term, port, s, signals := fixture(t)
	ctx := k.Context(t.Context())
	read := make(chan string)
	go func() {
		b, err := proto.IORead(ctx, port, -1, 100)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
	}()
	if err := term.Type([]byte("hello\r")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "hello\n" {
		t.Errorf("read %q", got)
	}
	if n, err := proto.IOWrite(ctx, port, []byte("a\nb"), -1); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := s.seen(); got != "hello\r\na\r\nb" {
		t.Errorf("written %q", got)
	}
	// Nobody is in the foreground: signals are nobody's.
	term.Type([]byte{3})
	if _, err := proto.TIoctlTiocgpgrp(ctx, port); !errors.Is(err, proto.ENOTTY) {
		t.Error(err)
	}
	term.Begin(7)
	term.Begin(8) // too late
	term.Type([]byte{3})
	id, err := proto.TermGetctty(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-signals; got != (posted{7, proto.SIGINT, id}) {
		t.Errorf("%+v", got)
	}
	if err := proto.TIoctlTiocspgrp(ctx, port, 9); err != nil {
		t.Error(err)
	}
	if group, err := proto.TIoctlTiocgpgrp(ctx, port); group != 9 || err != nil {
		t.Error(group, err)
	}
	if err := proto.TIoctlTiocspgrp(ctx, port, 0); !errors.Is(err, proto.EINVAL) {
		t.Error(err)
	}
	term.Resize(Size{Rows: 30, Columns: 100})
	term.Resize(Size{Rows: 30, Columns: 100})
	if got := <-signals; got != (posted{9, proto.SIGWINCH, id}) {
		t.Errorf("%+v", got)
	}
	if size, err := proto.TIoctlTiocgwinsz(ctx, port); size != [4]uint16{30, 100} || err != nil {
		t.Error(size, err)
	}
	// /dev/tty.
	again, err := proto.TermcttyOpenTerminal(ctx, id, proto.O_READ)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := proto.IOStat(ctx, again); err != nil || st.Mode&proto.S_IFMT != proto.S_IFCHR {
		t.Error(st, err)
	}
	term.Close()
	term.Close()
	if got := <-signals; got != (posted{9, proto.SIGHUP, id}) {
		t.Errorf("%+v", got)
	}
	if b, err := proto.IORead(ctx, again, -1, 1); len(b) != 0 || err != nil {
		t.Error(b, err)
	}
	if _, err := proto.IOWrite(ctx, again, []byte("x"), -1); !errors.Is(err, proto.EIO) {
		t.Error(err)
	}
	term.Type([]byte{3})
	k.Release(port, again, id)
	synctest.Wait() // until the signals have been sent
	if left := k.Ports(); len(left) != 0 {
		t.Errorf("ports left: %v", left)
	}
}

func TestModes(t *testing.T) {
	k, term, port, s, signals := fixture(t)
	defer term.Close()
	defer k.Release(port)
	ctx := k.Context(t.Context())
	term.Type([]byte("ab"))
	flags, keys, speeds, err := proto.TIoctlTiocgeta(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	raw := flags
	raw[0], raw[1], raw[3] = 0, 0, 0
	if err := proto.TIoctlTiocsetaw(ctx, port, raw, keys, speeds); err != nil {
		t.Fatal(err)
	}
	term.Begin(7)
	term.Type([]byte("\x03\r"))
	if b, err := proto.IORead(ctx, port, -1, 100); string(b) != "ab\x03\r" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := proto.IOWrite(ctx, port, []byte("\n"), -1); err != nil {
		t.Error(err)
	}
	if got := s.seen(); got != "ab\n" {
		t.Errorf("written %q", got)
	}
	term.Type([]byte("gone"))
	if err := proto.TIoctlTiocsetaf(ctx, port, flags, keys, speeds); err != nil {
		t.Fatal(err)
	}
	if n, err := proto.IOReadable(ctx, port); n != 0 || err != nil {
		t.Error(n, err)
	}
	if err := proto.IOSetSomeOpenmodes(ctx, port, proto.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	if _, err := proto.IORead(ctx, port, -1, 1); !errors.Is(err, proto.EAGAIN) {
		t.Error(err)
	}
	if got, err := proto.IOSelect(ctx, port, proto.SelectRead|proto.SelectWrite); got != proto.SelectWrite || err != nil {
		t.Error(got, err)
	}
	term.End()
	if got, err := proto.IOSelect(ctx, port, proto.SelectRead); got != proto.SelectRead || err != nil {
		t.Error(got, err)
	}
	if b, err := proto.IORead(ctx, port, -1, 1); len(b) != 0 || err != nil {
		t.Error(b, err)
	}
	if len(signals) != 0 {
		t.Error("a signal in raw mode")
	}
}

// TestWaitGivesUp ends a read whose client has gone.
func TestWaitGivesUp(t *testing.T) {
	k, term, port, _, _ := fixture(t)
	defer term.Close()
	defer k.Release(port)
	ctx, cancel := context.WithCancel(k.Context(t.Context()))
	done := make(chan error)
	go func() {
		_, err := proto.IORead(ctx, port, -1, 1)
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("something was read")
	}
}
