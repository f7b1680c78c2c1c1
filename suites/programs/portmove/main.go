// Portmove moves receive rights between programs, wherever these are:
//
//	settrans -a FILE /bin/portmove serve     takes receive rights that it is sent, and gives them back
//	portmove move FILE                       moves one there and back, with messages in its queue
//	                                         and on the way, and has it die there in the end
//
// The second wants every message to come once and in order, the right that comes back to
// be the one that left, and senders to learn that it is dead. It prints "moved".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// The server's routines, and the message with a number.
const (
	idTake   = 79_001 // a receive right →
	idRead   = 79_002 // how many messages, the number of the first →
	idGive   = 79_003 // → the receive right
	idNumber = 79_004 // a number
)

const (
	patience = time.Minute
	queue    = 16
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(context.Background())
	case len(os.Args) == 3 && os.Args[1] == "move":
		err = move(context.Background(), os.Args[2])
	default:
		err = errors.New("usage: portmove serve | portmove move FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "portmove:", err)
		os.Exit(1)
	}
}

// serve is the translator.
func serve(ctx context.Context) error {
	self := hurd.Self()
	if !self.Boot.Valid() {
		return translator.ErrNotTranslator
	}
	c := &control{done: make(chan struct{}), kernel: new(ports.Kernel)}
	right, err := ports.ExportRight(c.kernel, proto.Handler(c), ports.Options{Gone: sync.OnceFunc(func() { close(c.done) })})
	if err != nil {
		return err
	}
	node, err := proto.FsysStartup(ctx, self.Boot, 0, proto.Move(right))
	if err != nil {
		return fmt.Errorf("become a translator: %w", err)
	}
	proto.Release(ctx, node)
	<-c.done
	return nil
}

type control struct {
	proto.UnimplementedFsys
	kernel *ports.Kernel
	keeper keeper
	done   chan struct{}
}

func (c *control) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	root, err := ports.ExportRight(c.kernel, &c.keeper, ports.Options{})
	if err == nil {
		proto.Release(ctx, dotdot)
	}
	return proto.RetryNormal, "", root, err
}

func (c *control) FsysGoaway(context.Context, int32) error {
	go os.Exit(0)
	return nil
}

// A keeper has a receive right for as long as nobody wants it.
type keeper struct {
	mu   sync.Mutex
	port mach.Port
}

func (k *keeper) Handle(ctx context.Context, req, reply *mach.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch req.ID() {
	case idTake:
		p := req.TakeReceive()
		if err := req.End(); err != nil {
			return err
		}
		if k.port.Valid() {
			_ = mach.DestroyReceive(k.port)
		}
		k.port = p
		return mach.PortSetQueueLimit(mach.TaskSelf(), p, queue)
	case idRead:
		n, first := req.TakeInt32(), req.TakeInt32()
		if err := req.End(); err != nil {
			return err
		}
		return read(ctx, k.port, int(n), int(first))
	case idGive:
		reply.PutRight(k.port, mach.MoveReceive)
		k.port = mach.Null
		return req.End()
	}
	return proto.EOPNOTSUPP
}

// read receives n messages, with the numbers from first.
func read(ctx context.Context, name mach.Port, n, first int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := mach.AdoptReceive(name)
	if err != nil {
		return err
	}
	defer r.Release()
	m := mach.NewMessage(0)
	for i := range n {
		if err := r.Receive(ctx, m); err != nil {
			return fmt.Errorf("message %d: %w", first+i, err)
		}
		id, got := m.ID(), m.TakeInt32()
		mach.Destroy(m)
		if id != idNumber || int(got) != first+i {
			fmt.Fprintf(os.Stderr, "portmove: message %d is %d, want %d\n", id, got, first+i)
			return proto.EGRATUITOUS
		}
	}
	return nil
}

func move(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	server, err := hurd.Self().Lookup(ctx, file, 0, 0)
	if err != nil {
		return err
	}
	self := mach.TaskSelf()
	name, err := mach.PortAllocate(self, mach.RightReceive)
	if err != nil {
		return err
	}
	if err := errors.Join(mach.PortSetQueueLimit(self, name, queue), mach.PortInsertRight(self, name, name, mach.MakeSend)); err != nil {
		return err
	}
	sent := 0
	send := func(n int) error {
		for range n {
			m := mach.NewMessage(idNumber)
			m.PutInt32(int32(sent))
			if err := mach.Send(ctx, name, mach.CopySend, m); err != nil {
				return err
			}
			sent++
		}
		return nil
	}
	call := func(id int32, put func(*mach.Message), take func(*mach.Message)) error {
		m := mach.NewMessage(id)
		if put != nil {
			put(m)
		}
		if err := mach.Call(ctx, server, m); err != nil {
			return err
		}
		defer mach.Destroy(m)
		if take != nil {
			take(m)
		}
		return m.End()
	}
	there := func() error {
		return call(idTake, func(m *mach.Message) { m.PutRight(name, mach.MoveReceive) }, nil)
	}
	got := 0
	readThere := func() error {
		err := call(idRead, func(m *mach.Message) { m.PutInt32(int32(sent - got)); m.PutInt32(int32(got)) }, nil)
		got = sent
		return err
	}
	if err := errors.Join(send(5), there(), send(8), readThere(), send(7)); err != nil {
		return fmt.Errorf("there: %w", err)
	}
	var back mach.Port
	if err := call(idGive, nil, func(m *mach.Message) { back = m.TakeReceive() }); err != nil {
		return fmt.Errorf("back: %w", err)
	}
	if back != name {
		return fmt.Errorf("%v comes back as %v", name, back)
	}
	if err := errors.Join(send(4), read(ctx, name, sent-got, got)); err != nil {
		return fmt.Errorf("here: %w", err)
	}
	got = sent
	if err := errors.Join(send(2), there(), send(2), readThere()); err != nil {
		return fmt.Errorf("there again: %w", err)
	}
	// Another takes its place, and it dies.
	other, err := mach.PortAllocate(self, mach.RightReceive)
	if err != nil {
		return err
	}
	died, err := mach.NewReceiver()
	if err != nil {
		return err
	}
	if err := mach.RequestNotification(name, mach.NotifyDeadName, 1, died.Port()); err != nil {
		return err
	}
	if err := call(idTake, func(m *mach.Message) { m.PutRight(other, mach.MoveReceive) }, nil); err != nil {
		return fmt.Errorf("another: %w", err)
	}
	if err := died.Receive(ctx, mach.NewMessage(0)); err != nil {
		return fmt.Errorf("its death: %w", err)
	}
	fmt.Println("moved")
	return nil
}
