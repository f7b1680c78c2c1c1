package exec

import (
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A bootInfo answers the one request at the bootstrap port of a new program:
// who it is and what it has (section 4.1). The first answer gives everything
// away; later ones have empty arrays.
type bootInfo struct {
	entry, phdr, phdrSize, stackBase, stackSize uint64
	flags                                       int32

	mu            sync.Mutex
	args, env     []byte
	dtable, ports []mach.Port
	ints          []int32
}

var _ proto.ExecStartupServer = (*bootInfo)(nil)

func (b *bootInfo) ExecStartupGetInfo(context.Context) (entry, phdr, phdrSize, stackBase, stackSize uint64, flags int32,
	args, env []byte, dtable, ports []mach.Port, ints []int32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	args, env, dtable, ports, ints = b.args, b.env, b.dtable, b.ports, b.ints
	b.args, b.env, b.dtable, b.ports, b.ints = nil, nil, nil, nil, nil
	return b.entry, b.phdr, b.phdrSize, b.stackBase, b.stackSize, b.flags, args, env, dtable, ports, ints, nil
}

// takeRights returns the rights that nobody has asked for.
func (b *bootInfo) takeRights() []mach.Port {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := append(b.dtable, b.ports...)
	b.dtable, b.ports = nil, nil
	return list
}
