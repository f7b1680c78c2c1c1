// Hostile sends servers what no client would: every id of every protocol with
// nothing behind it, with random items, with rights and memory that nobody
// wants, and cut off; then floods them with requests whose answers nobody
// takes. In the end every server has to answer a good request.
//
//	hostile [-n 3] [-seed 1]
//
// Run it as an ordinary user: what root sends may be a good request by chance.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A target is a port of a server, and how to see that it still answers.
type target struct {
	name string
	port mach.Port
	good func(ctx context.Context, p mach.Port) error
}

// bases are the first ids of protocols.
var bases = []int32{
	20000, 20500, 21000, 22000, 23000, 24000, 25000, 26000, 28000, 29000, 29500, 30000, 30500, 32000, 33000, 34000, 37000, 38000,
	60, 2000, 2200, 2400, 2600, 2800, 3200, 4200, 100_000, 112_000, 118_000, 156_000, -10, 1<<31 - 20,
}

// patience is how long a request may take: some wait by right.
const patience = 50 * time.Millisecond

func main() {
	rounds := flag.Int("n", 3, "random messages for each id")
	seed := flag.Uint64("seed", 1, "of the random messages")
	flag.Parse()
	ctx := context.Background()
	if err := run(ctx, *rounds, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

// answers is for servers that have no good request for everybody: that they
// do not know a message is an answer, too.
func answers(ctx context.Context, p mach.Port) error {
	m := mach.NewMessage(29_999)
	err := mach.Call(ctx, p, m)
	mach.Destroy(m)
	if code := proto.Code(err); code == mach.MigBadID || code == proto.EOPNOTSUPP {
		return nil
	}
	return err
}

func targets(ctx context.Context) (list []target) {
	self := hurd.Self()
	stat := func(ctx context.Context, p mach.Port) error { _, err := proto.IOStat(ctx, p); return err }
	list = []target{
		{"proc", self.Proc, func(ctx context.Context, p mach.Port) error { _, _, _, err := proto.ProcGetpids(ctx, p); return err }},
		{"auth", self.Auth, func(ctx context.Context, p mach.Port) error { _, _, _, _, err := proto.AuthGetids(ctx, p); return err }},
	}
	for _, x := range []struct {
		name, path string
		good       func(ctx context.Context, p mach.Port) error
	}{
		{"directory", "/", stat}, {"file", "/etc/passwd", stat}, {"null", "/dev/null", stat},
		{"pfinet", "/servers/socket/2", stat}, {"pflocal", "/servers/socket/1", stat},
		{"startup", "/servers/startup", answers}, {"exec", "/servers/exec", answers}, {"password", "/servers/password", answers},
	} {
		port, err := self.Lookup(ctx, x.path, proto.O_READ, 0)
		if err != nil {
			port, err = self.Lookup(ctx, x.path, 0, 0)
		}
		if err != nil {
			fmt.Printf("%s is not to be had: %v\n", x.name, err)
			continue
		}
		list = append(list, target{x.name, port, x.good})
	}
	return list
}

func run(ctx context.Context, rounds int, seed uint64) error {
	var errs []error
	for _, t := range targets(ctx) {
		begun := time.Now()
		sent, waited := t.attack(ctx, rounds, seed)
		flooded := t.flood(ctx)
		late, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := t.good(late, t.port)
		cancel()
		fmt.Printf("%s: %d bad messages, %d of which waited, %d in a flood, in %v; a good one: %v\n",
			t.name, sent, waited, flooded, time.Since(begun).Round(time.Millisecond), err)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s does not answer any more: %w", t.name, err))
		}
	}
	return errors.Join(errs...)
}

// harmful are requests that are good without arguments and change what the
// sender itself needs.
var harmful = map[int32]bool{
	21030: true,                           // io_revoke
	24021: true,                           // proc_dostop: all our threads, whatever the right in it is
	24025: true, 24026: true, 24027: true, // proc_mark_exit, mark_exec, mark_traced: on ourselves
}

// attack sends each id in several forms and counts the messages, and those
// that had no answer within [patience].
func (t target) attack(ctx context.Context, rounds int, seed uint64) (sent, waited int) {
	rnd := rand.New(rand.NewPCG(seed, uint64(t.port)))
	own, err := mach.NewReceiver()
	if err != nil {
		return 0, 0
	}
	defer own.Close()
	for _, base := range bases {
		for id := base; id < base+40 && id >= base; id++ {
			if harmful[id] {
				continue
			}
			for round := range rounds + 1 {
				m := mach.NewMessage(id)
				for range round * rnd.IntN(5) {
					t.item(m, rnd, own.Port())
				}
				late, cancel := context.WithTimeout(ctx, patience)
				err := mach.Call(late, t.port, m)
				cancel()
				mach.Destroy(m)
				sent++
				if errors.Is(err, context.DeadlineExceeded) {
					waited++
				}
			}
		}
	}
	return sent, waited
}

// item puts something into a message.
func (t target) item(m *mach.Message, rnd *rand.Rand, own mach.Port) {
	data := make([]byte, rnd.IntN(200))
	switch rnd.IntN(12) {
	case 0:
		m.PutInt32(int32(rnd.Uint32()))
	case 1:
		m.PutInt64(int64(rnd.Uint64()))
	case 2:
		m.PutWord(uint64(rnd.Uint32()))
	case 3:
		m.PutBool(rnd.IntN(2) == 0)
	case 4:
		m.PutString("\x01nonsense", 1024)
	case 5:
		m.PutData(mach.Char, data)
	case 6:
		m.PutOOLData(mach.Char, make([]byte, 3*4096+17))
	case 7:
		m.PutRight(own, mach.MakeSend)
	case 8:
		m.PutRight(t.port, mach.CopySend)
	case 9:
		m.PutRight(own, mach.MakeSendOnce)
	case 10:
		m.PutInt32s(1, 2, 3, -4)
	case 11:
		m.PutRights([]mach.Port{own, own, own}, mach.MakeSend)
	}
}

// flood sends requests whose answers nobody takes, and as many again without
// a right to answer. What does not fit into the queue is not sent.
func (t target) flood(ctx context.Context) int {
	var sent atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			reply, err := mach.NewReceiver()
			if err != nil {
				return
			}
			defer reply.Close()
			for range 500 {
				m := mach.NewMessage(21013) // io_stat
				if i%2 == 0 {
					m.SetReply(reply.Port(), mach.MakeSend)
				}
				late, cancel := context.WithTimeout(ctx, patience)
				if mach.Send(late, t.port, mach.CopySend, m) == nil {
					sent.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	return int(sent.Load())
}
