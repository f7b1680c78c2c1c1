package main

import (
	"context"

	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/bridge"
	"hurdlab/pager"
	"hurdlab/pager/hurdfile"
)

const idMap = 21018

// A mapFile answers io_map of a file of another node: the netmsg there knows which of
// its memory objects can be used from here.
type mapFile struct {
	proto.UnimplementedIO
	n    *node
	file mach.Port
}

func (m *mapFile) IOMap(ctx context.Context) (rd, wr mach.Port, err error) {
	home, ok := m.n.bridge.Home(m.file)
	if !ok {
		return mach.Null, mach.Null, proto.EIEIO
	}
	d, err := m.n.bridge.Door(ctx, home.Node)
	if err != nil {
		return mach.Null, mach.Null, proto.EIO
	}
	rd, wr, err = proto.DoorMap(ctx, d, m.file)
	if proto.Code(err) == mach.MigBadID {
		err = proto.EOPNOTSUPP // it is of another version
	}
	return rd, wr, err
}

// many asks whether a memory object can have several kernels.
func many(ctx context.Context, object mach.Port) bool { return bridge.ManyKernels(ctx, object) }

// files makes memory objects of files whose own pager is for one kernel.
func (n *node) files(ctx context.Context) (*hurdfile.Files, error) {
	deaths, err := deathwatch.New(ctx)
	if err != nil {
		return nil, err
	}
	return &hurdfile.Files{Pager: pager.New(pager.Config{Ports: &n.ports, Watch: deaths.Watch, Log: n.log})}, nil
}
