package rootfs

import (
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A sockNode is where a local socket is bound.
type sockNode struct {
	fileNode
	mu   sync.Mutex
	addr mach.Port // a send right, or null
}

var _ translator.Protocols = (*sockNode)(nil)

// Protocols serves ifsock.
func (n *sockNode) Protocols(translator.User, int32) []any { return []any{ifsock{node: n}} }

// SetSpecial makes the inode something else.
func (n *sockNode) SetSpecial(ctx context.Context, typ, rdev uint32, target string) error {
	err := n.fileNode.SetSpecial(ctx, typ, rdev, target)
	if err == nil {
		n.mu.Lock()
		n.tree.rights.Release(n.addr)
		n.addr = mach.Null
		n.mu.Unlock()
	}
	return err
}

// ifsock tells the address of the local socket that is bound to a node. The
// address is made when it is asked for first, which is when a socket is bound
// to it, and stays with the node.
type ifsock struct {
	proto.UnimplementedIfsock
	node *sockNode
}

var _ proto.IfsockServer = ifsock{}

// IfsockGetsockaddr returns a right to the address.
func (s ifsock) IfsockGetsockaddr(ctx context.Context) (mach.Port, error) {
	n := s.node
	if a, err := n.address(mach.Null); err != nil || a.Valid() {
		return a, err
	}
	if n.tree.config.Fabricate == nil {
		return mach.Null, proto.EOPNOTSUPP
	}
	// Without the lock: it asks another server. Of two addresses that are made
	// at once, one is used.
	a, err := n.tree.config.Fabricate(ctx)
	if err != nil {
		return mach.Null, err
	}
	return n.address(a)
}

// address returns another right to the node's address. If there is none, or
// its server is gone, made becomes the address; otherwise made is given back.
func (n *sockNode) address(made mach.Port) (mach.Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.tree.rights
	if n.addr.Valid() {
		if k.Copy(n.addr) == nil {
			k.Release(made)
			return n.addr, nil
		}
		k.Release(n.addr) // dead
		n.addr = mach.Null
	}
	if !made.Valid() {
		return mach.Null, nil
	}
	if err := k.Copy(made); err != nil {
		k.Release(made)
		return mach.Null, err
	}
	n.addr = made
	return made, nil
}
