// Package job starts the ranks of an MPI job on the nodes, and gives them their links.
//
// Who starts a job is a server at a port that each rank inherits as descriptor
// [Descriptor], through rexec or not. A rank sends there rights to its own ports,
// and the address that it listens on; when all have, each gets those that the others
// have for it (mpi_join, in hurd/proto). No names, no files, no server besides.
package job

import (
	"bytes"
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Descriptor is the descriptor of a rank that is its starter's port.
const Descriptor = 3

// Bounds of what a rank may say.
const (
	MaxRanks = 64
	maxAddr  = 256
)

// channels are how many ports a rank has for each other: one for the link of ports,
// two for that of mapped memory.
const channels = 3

// A member is a rank that has come.
type member struct {
	addr []byte
	// ports are those of the first channel, by the rank that will send to it, then
	// those of the second, and so on; the rank's own are null.
	ports []mach.Port
}

// A meeting is where the ranks of a job get to know each other: the object of the
// starter's port.
type meeting struct {
	proto.UnimplementedMPIJob
	ranks int

	mu      sync.Mutex
	members map[int]*member
	whole   chan struct{} // closed when all have come, or will never
	failed  error
}

func newMeeting(ranks int) *meeting {
	return &meeting{ranks: ranks, members: make(map[int]*member), whole: make(chan struct{})}
}

// MpiJoin takes a rank's rights and waits for the others. The answer has the addresses,
// strings with a zero after each, by rank, and the others' ports in the order of
// member.ports.
func (s *meeting) MpiJoin(ctx context.Context, rank int32, addr []byte, ports []mach.Port) ([]byte, []mach.Port, error) {
	r := int(rank)
	if r < 0 || r >= s.ranks || len(ports) != channels*s.ranks || len(addr) > maxAddr || bytes.IndexByte(addr, 0) >= 0 {
		return nil, nil, mach.MigBadArguments
	}
	if err := s.come(r, &member{bytes.Clone(addr), ports}); err != nil {
		return nil, nil, err
	}
	select {
	case <-s.whole:
	case <-ctx.Done():
		// One that goes is missed: the job cannot begin. Its rights are the
		// caller's again, as those of all errors.
		s.fail(proto.EINTR)
		return nil, nil, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, nil, s.failed
	}
	var addrs []byte
	var given []mach.Port
	for p := range s.ranks {
		addrs = append(append(addrs, s.members[p].addr...), 0)
	}
	for c := range channels {
		for p := range s.ranks {
			given = append(given, s.members[p].ports[c*s.ranks+r])
		}
	}
	return addrs, given, nil
}

func (s *meeting) come(r int, m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return s.failed
	case s.members[r] != nil:
		return proto.EBUSY
	}
	s.members[r] = m
	if len(s.members) == s.ranks {
		close(s.whole)
	}
	return nil
}

// fail has all joins fail, unless all have come.
func (s *meeting) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.members) == s.ranks || s.failed != nil {
		return
	}
	s.failed = err
	close(s.whole)
}
