package iostreams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach/wire"
)

func fixture(t *testing.T) (*portstest.Kernel, *ioport.Host, context.Context) {
	k := portstest.New(t, wire.Layout32)
	t.Cleanup(func() {
		if left := k.Ports(); len(left) != 0 {
			t.Errorf("ports left: %v", left)
		}
	})
	return k, &ioport.Host{Export: k}, k.Context(t.Context())
}

func TestOutput(t *testing.T) {
	k, h, ctx := fixture(t)
	var b bytes.Buffer
	p, err := Output(h, translator.Root(), &b)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release(p)
	big := bytes.Repeat([]byte("x"), 100<<10)
	for _, s := range [][]byte{[]byte("hello"), big, nil} {
		if n, err := proto.IOWrite(ctx, p, s, -1); err != nil || int(n) != len(s) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if b.String() != "hello"+string(big) {
		t.Errorf("%d bytes arrived", b.Len())
	}
	if _, err := proto.IORead(ctx, p, -1, 1); !errors.Is(err, proto.EBADF) {
		t.Error(err)
	}
	if bits, err := proto.IOGetOpenmodes(ctx, p); err != nil || bits != proto.O_WRITE {
		t.Errorf("modes %#x, %v", bits, err)
	}
	r, w := io.Pipe()
	r.Close()
	q, err := Output(h, translator.Root(), w)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release(q)
	if _, err := proto.IOWrite(ctx, q, []byte("x"), -1); !errors.Is(err, proto.EPIPE) {
		t.Error(err)
	}
}

func TestInput(t *testing.T) {
	k, h, ctx := fixture(t)
	r, w := io.Pipe()
	p, err := Input(h, translator.Root(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release(p)
	q, err := proto.IODuplicate(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release(q)
	// A read that is interrupted takes nothing with it.
	short, cancel := context.WithCancelCause(ctx)
	got := make(chan error)
	go func() { _, err := proto.IORead(short, p, -1, 10); got <- err }()
	cancel(proto.EINTR)
	if err := <-got; !errors.Is(err, proto.EINTR) {
		t.Error(err)
	}
	if err := proto.IOSetSomeOpenmodes(ctx, p, proto.O_NONBLOCK); err != nil {
		t.Error(err)
	}
	if _, err := proto.IORead(ctx, q, -1, 10); !errors.Is(err, proto.EAGAIN) {
		t.Error(err)
	}
	if err := proto.IOClearSomeOpenmodes(ctx, p, proto.O_NONBLOCK); err != nil {
		t.Error(err)
	}
	past := proto.Timespec{Sec: time.Now().Unix() - 1}
	if n, err := proto.IOSelectTimeout(ctx, p, past, proto.SelectRead); err != nil || n != 0 {
		t.Errorf("select %d, %v", n, err)
	}
	go func() {
		io.WriteString(w, "hello")
		io.WriteString(w, strings.Repeat("y", 100<<10))
		w.Close()
	}()
	if n, err := proto.IOSelect(ctx, p, proto.SelectRead); err != nil || n != proto.SelectRead {
		t.Errorf("select %d, %v", n, err)
	}
	var all []byte
	for _, n := range []uint64{2, 100, 1 << 20, 0} {
		b, err := proto.IORead(ctx, q, -1, n)
		if err != nil || n > 0 && len(b) == 0 || uint64(len(b)) > n {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		all = append(all, b...)
	}
	for {
		b, err := proto.IORead(ctx, p, -1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			break
		}
		all = append(all, b...)
	}
	if string(all) != "hello"+strings.Repeat("y", 100<<10) {
		t.Errorf("%d bytes arrived", len(all))
	}
	if _, err := proto.IOWrite(ctx, p, []byte("x"), -1); !errors.Is(err, proto.EBADF) {
		t.Error(err)
	}
}
