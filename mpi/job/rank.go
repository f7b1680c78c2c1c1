package job

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mpi"
	"hurdlab/mpi/link"
)

// A Kind is a kind of links.
type Kind string

const (
	TCP    Kind = "tcp"    // connections
	Ports  Kind = "netmsg" // ports, which netmsg carries to other nodes
	Mapped Kind = "pager"  // a mapped file, which the pager shares, and ports for saying so
)

// Kinds are those that there are.
var Kinds = []Kind{TCP, Ports, Mapped}

// A Rank is a rank that has its links.
type Rank struct {
	Rank, Size int
	Node       string
	// Comms are communicators of the ranks, of each kind that was wanted.
	Comms map[Kind]*mpi.Comm

	mem []byte
}

// IsRank reports whether this process was started as a rank.
func IsRank() bool { return os.Getenv(rankVar) != "" }

// joinTime bounds the time until all ranks have joined.
const joinTime = 2 * time.Minute

// Join makes the links of the kinds that are wanted to all other ranks, which want
// the same.
func Join(ctx context.Context, kinds ...Kind) (*Rank, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, joinTime, errors.New("the other ranks have not come in time"))
	defer cancel()
	rank, err1 := strconv.Atoi(os.Getenv(rankVar))
	size, err2 := strconv.Atoi(os.Getenv(sizeVar))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("not started as a rank: %w", err)
	}
	if size < 1 || size > MaxRanks || rank < 0 || rank >= size {
		return nil, fmt.Errorf("rank %d of %d", rank, size)
	}
	self := hurd.Self()
	if len(self.FDs) <= Descriptor {
		return nil, errors.New("not started as a rank: no port of the job's")
	}
	node, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	r := &Rank{Rank: rank, Size: size, Node: node, Comms: make(map[Kind]*mpi.Comm)}

	want := make(map[Kind]bool)
	for _, k := range kinds {
		want[k] = true
	}
	var listener net.Listener
	addr := ""
	if want[TCP] {
		if listener, err = net.Listen("tcp", ":0"); err != nil {
			return nil, err
		}
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(node, port)
	}
	if want[Mapped] {
		if r.mem, err = shared(rank, size, node); err != nil {
			return nil, fmt.Errorf("the mapped file: %w", err)
		}
	}
	receivers := make([]*mach.Receiver, channels*size)
	rights := make([]mach.Port, channels*size)
	for i := range receivers {
		if i%size == rank {
			continue
		}
		if receivers[i], rights[i], err = link.Receiver(); err != nil {
			return nil, err
		}
	}
	names, peers, err := proto.MpiJoin(ctx, self.FDs[Descriptor], int32(rank), []byte(addr), rights)
	proto.Release(ctx, rights...)
	if err != nil {
		return nil, fmt.Errorf("join the job: %w", err)
	}
	addrs := hurd.ParseArgz(names)
	if len(peers) != len(rights) || len(addrs) != size {
		proto.Release(ctx, peers...)
		return nil, errors.New("join the job: it is of another size")
	}
	byPort := func(channel, peer int) mpi.Link {
		i := channel*size + peer
		return link.Port(peers[i], receivers[i])
	}
	comm := func(k Kind, f func(peer int) (mpi.Link, error)) error {
		links := make([]mpi.Link, size)
		for peer := range links {
			if peer == rank {
				continue
			}
			if links[peer], err = f(peer); err != nil {
				return fmt.Errorf("link %s to rank %d: %w", k, peer, err)
			}
		}
		r.Comms[k] = mpi.New(rank, links)
		return nil
	}
	if want[Ports] {
		err = comm(Ports, func(peer int) (mpi.Link, error) { return byPort(0, peer), nil })
	}
	if err == nil && want[Mapped] {
		err = comm(Mapped, func(peer int) (mpi.Link, error) {
			ring := func(from, to int) []byte { return r.mem[(from*size+to)*link.Ring:][:link.Ring] }
			return link.Mapped(ring(rank, peer), ring(peer, rank), byPort(1, peer), byPort(2, peer))
		})
	}
	if err == nil && want[TCP] {
		var conns []net.Conn
		if conns, err = connect(ctx, listener, rank, addrs); err == nil {
			err = comm(TCP, func(peer int) (mpi.Link, error) { return link.TCP(conns[peer]), nil })
		}
	}
	return r, err
}

// Close ends the links.
func (r *Rank) Close() error {
	var errs []error
	for _, c := range r.Comms {
		errs = append(errs, c.Close())
	}
	if r.mem != nil {
		errs = append(errs, syscall.Munmap(r.mem))
		if r.Rank == 0 {
			errs = append(errs, os.Remove(sharedFile()))
		}
	}
	return errors.Join(errs...)
}

func sharedFile() string { return filepath.Join("/tmp", "mpi-"+os.Getenv(nameVar)) }

// shared maps the memory of the job: a file of the node that rank 0 is on, which is
// the one that the job was started on.
func shared(rank, size int, node string) ([]byte, error) {
	name, n := sharedFile(), size*size*link.Ring
	if home := os.Getenv(homeVar); home != node {
		name = "/n/" + home + name
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// All of them: it is the same for everybody, whoever comes first.
	if err := f.Truncate(int64(n)); err != nil {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

// connect makes a connection to each other rank: the one with the higher number calls
// the other, and says who it is.
func connect(ctx context.Context, l net.Listener, rank int, addrs []string) ([]net.Conn, error) {
	conns := make([]net.Conn, len(addrs))
	defer context.AfterFunc(ctx, func() { l.Close() })()
	g, ctx := errgroup.WithContext(ctx)
	for peer := range rank {
		g.Go(func() error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", addrs[peer])
			if err != nil {
				return err
			}
			conns[peer] = c
			_, err = c.Write(binary.LittleEndian.AppendUint32(nil, uint32(rank)))
			return err
		})
	}
	g.Go(func() error {
		for left := len(addrs) - rank - 1; left > 0; left-- {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			var b [4]byte
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return err
			}
			peer := int(binary.LittleEndian.Uint32(b[:]))
			if peer <= rank || peer >= len(addrs) || conns[peer] != nil {
				return fmt.Errorf("rank %d calls", peer)
			}
			conns[peer] = c
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return conns, nil
}
