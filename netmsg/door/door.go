// Package door is what a node lets its peers ask for: the one right that each
// session offers (S5), from which all others come.
//
// A door opens what is exported, for users of the peer who are, here, whom the
// [Policy] says. The peer's netmsg vouches for who they are there, as the kernel's
// owner does for a machine: what it may claim is what the policy gives to that
// peer, and no more.
//
// # What cannot be left
//
// The root of an export is opened so that ".." there leads to the directory that
// the peer has mounted it in, by the file system's own means: fsys_getroot for
// "/", file_reparent for others. Absolute symbolic links, and the magic names that
// stand for the caller's own things, are answers that the caller follows on its
// own node. A relative link goes through "..", and so no further. What does
// lead out of an export is another file system's root in it, of a translator that
// hands out ports of elsewhere, such as one of a user's that does so on purpose; and
// a hard link. An export of "/" has nothing to be left for.
//
// # Place in the house
//
// It stands on hurd/proto and hurd; netmsg/cmd/netmsg makes a door for each
// session.
package door

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/rights"
)

// maxIDs bounds the ids of a user, of each kind.
const maxIDs = 256

// A Door is that of one peer: [proto.NetmsgDoorServer].
type Door struct {
	proto.UnimplementedNetmsgDoor

	Peer   rights.NodeID
	Policy func() *Policy
	// Self has the ports that files are opened with: a root directory, and the
	// authentication handle of root.
	Self *hurd.Process
	// Map makes memory objects, as io_map does, of a file whose own can have one kernel
	// only. Nil: such a file cannot be mapped by peers.
	Map func(ctx context.Context, file mach.Port) (rd, wr mach.Port, err error)
	// Nowhere makes a port that means nothing, and a right to it.
	Nowhere func() (mach.Port, error)
	// Many asks whether a memory object can have several kernels.
	Many func(ctx context.Context, object mach.Port) bool

	mu      sync.Mutex
	control mach.Port            // of the root file system, once it was needed
	nowhere mach.Port            // what is above the root in a look-up that has no need of it
	roots   map[string]mach.Port // of the node, from which nobody is to go up, by users
}

// maxRoots bounds the roots that a door keeps, by the ids of users of this node.
const maxRoots = 16

// DoorGetroot opens the root of an export for a user of the peer.
func (d *Door) DoorGetroot(ctx context.Context, name string, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	retry, rest, file, err := d.getroot(ctx, d.Policy(), name, dotdot, uids, gids, flags)
	if err == nil {
		proto.Release(ctx, dotdot)
	}
	return retry, rest, file, err
}

func (d *Door) getroot(ctx context.Context, p *Policy, name string, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	if len(uids) > maxIDs || len(gids) > maxIDs {
		return 0, "", mach.Null, proto.EINVAL
	}
	e, ok := p.Find(d.Peer, name)
	if !ok {
		return 0, "", mach.Null, proto.ENOENT
	}
	uids, gids = Map(p.Users, d.Peer, uids), Map(p.Groups, d.Peer, gids)
	flags &^= proto.O_CREAT | proto.O_EXCL
	if e.Path == "/" {
		control, err := d.rootControl(ctx)
		if err != nil {
			return 0, "", mach.Null, err
		}
		return proto.FsysGetroot(ctx, control, proto.Copy(dotdot), uids, gids, flags)
	}
	file, err := d.Self.Lookup(ctx, e.Path, 0, 0)
	if err != nil {
		return 0, "", mach.Null, err
	}
	user, err := d.become(ctx, file, uids, gids)
	proto.Release(ctx, file)
	if err != nil {
		return 0, "", mach.Null, err
	}
	defer proto.Release(ctx, user)
	if dotdot == mach.Null {
		dotdot = user // nowhere else
	}
	root, err := proto.FileReparent(ctx, user, dotdot)
	if proto.Code(err) == proto.ENOTDIR {
		// A file has no "..".
		return proto.DirLookup(ctx, user, "", flags, 0)
	}
	if err != nil {
		return 0, "", mach.Null, err
	}
	defer proto.Release(ctx, root)
	return proto.DirLookup(ctx, root, "", flags, 0)
}

// rootControl returns the control port of the root file system, which is the door's. There
// is one for as long as the door's own root directory is one.
func (d *Door) rootControl(ctx context.Context) (mach.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.control.Valid() {
		return d.control, nil
	}
	control, err := proto.FileGetcontrol(ctx, d.Self.Root)
	if err == nil {
		d.control = control
	}
	return control, err
}

// noDotdot returns a right to a port without a meaning, which is the door's, to be ".." of a
// root from which nobody is to go up.
func (d *Door) noDotdot() (mach.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nowhere != mach.Null {
		return d.nowhere, nil
	}
	if d.Nowhere == nil {
		return mach.Null, proto.EAGAIN
	}
	p, err := d.Nowhere()
	if err == nil {
		d.nowhere = p
	}
	return p, err
}

// Close gives back what the door keeps.
func (d *Door) Close(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	proto.Release(ctx, d.control, d.nowhere)
	d.control, d.nowhere = mach.Null, mach.Null
	for _, root := range d.roots {
		proto.Release(ctx, root)
	}
	d.roots = nil
}

// DoorLookup is dir_lookup at the root of an export, which is opened for that as by
// DoorGetroot: one round trip instead of two. If the file is opened to be executed, info is
// what io_stat says of it when it has been opened, by which the peer can tell whether it is a
// program that it knows; otherwise, or if that is not known, it is zero.
//
// Without dotdot, the answer is a regular file in the export, or the name of a file elsewhere.
// If it would be something from which a way leads up and out, it is EAGAIN: dotdot is needed. A right
// that is sent, and let go, costs two packets.
//
// Names are as long as they are here, and not 1024 bytes: for a small message it is the
// encryption of all its bytes that takes the time.
func (d *Door) DoorLookup(ctx context.Context, name []byte, dotdot mach.Port, uids, gids []int32, file []byte, flags, mode int32) (info proto.Stat, retry int32, rest []byte, result mach.Port, err error) {
	if len(name) > maxName || len(file) > maxName {
		return info, 0, nil, mach.Null, proto.ENAMETOOLONG
	}
	if dotdot == mach.Null {
		return d.lookupBelow(ctx, string(name), uids, gids, string(file), flags, mode)
	}
	retry, next, root, err := d.getroot(ctx, d.Policy(), string(name), dotdot, uids, gids, 0)
	if err != nil {
		return info, 0, nil, mach.Null, err
	}
	info, retry, next, result, passed, err := lookup(ctx, retry, next, root, string(file), flags, mode)
	if !passed {
		proto.Release(ctx, root)
	}
	if err == nil {
		proto.Release(ctx, dotdot)
	}
	return info, retry, []byte(next), result, err
}

// lookupBelow is DoorLookup without dotdot.
func (d *Door) lookupBelow(ctx context.Context, name string, uids, gids []int32, file string, flags, mode int32) (info proto.Stat, retry int32, rest []byte, result mach.Port, err error) {
	retry, next, root, kept, err := d.rootBelow(ctx, name, uids, gids)
	if err != nil {
		return info, 0, nil, mach.Null, err
	}
	info, retry, next, result, passed, err := lookup(ctx, retry, next, root, file, flags, mode)
	if !kept && !passed {
		proto.Release(ctx, root)
	}
	if err == nil && result.Valid() && info.Mode&proto.S_IFMT != proto.S_IFREG {
		proto.Release(ctx, result)
		return proto.Stat{}, 0, nil, mach.Null, proto.EAGAIN
	}
	return info, retry, []byte(next), result, err
}

// rootBelow opens the root of an export for who goes down from it only, or returns one that
// is kept. What they may have of the door is looked at each time.
func (d *Door) rootBelow(ctx context.Context, name string, uids, gids []int32) (retry int32, rest string, root mach.Port, kept bool, err error) {
	p := d.Policy()
	e, ok := p.Find(d.Peer, name)
	if !ok {
		return 0, "", mach.Null, false, proto.ENOENT
	}
	// Of the root of the node it does not matter when it was opened: it is always the same.
	key := ""
	if e.Path == "/" && len(uids) <= maxIDs && len(gids) <= maxIDs {
		key = fmt.Sprint(Map(p.Users, d.Peer, uids), Map(p.Groups, d.Peer, gids))
	}
	d.mu.Lock()
	root, kept = d.roots[key]
	d.mu.Unlock()
	if kept {
		return proto.RetryNormal, "", root, true, nil
	}
	up, err := d.noDotdot()
	if err != nil {
		return 0, "", mach.Null, false, err
	}
	retry, rest, root, err = d.getroot(ctx, p, name, up, uids, gids, 0)
	if err != nil || key == "" || retry != proto.RetryNormal || rest != "" || !root.Valid() {
		return retry, rest, root, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.roots[key]; ok || len(d.roots) >= maxRoots {
		return retry, rest, root, false, nil
	}
	if d.roots == nil {
		d.roots = make(map[string]mach.Port)
	}
	d.roots[key] = root
	return retry, rest, root, true, nil
}

// lookup looks a file up at the root of an export as it has been opened. If passed, the
// result is the right to the root itself.
func lookup(ctx context.Context, retry int32, rest string, root mach.Port, file string, flags, mode int32) (info proto.Stat, _ int32, _ string, result mach.Port, passed bool, err error) {
	if retry != proto.RetryNormal || rest != "" || !root.Valid() {
		// The look-up goes on elsewhere.
		if rest != "" {
			rest += "/"
		}
		if rest += file; len(rest) > maxName {
			return info, 0, "", mach.Null, false, proto.ENAMETOOLONG
		}
		return info, retry, rest, root, true, nil
	}
	retry, rest, result, err = proto.DirLookup(ctx, root, file, flags, mode)
	if err != nil {
		return info, 0, "", mach.Null, false, err
	}
	if flags&proto.O_EXEC != 0 && retry == proto.RetryNormal && rest == "" && result.Valid() {
		if st, err := proto.IOStat(ctx, result); err == nil {
			info = st
		}
	}
	return info, retry, rest, result, false, nil
}

// maxName is the longest name that a message has room for.
const maxName = 1023

// DoorReauth returns the port for what a file is to another user of the peer.
func (d *Door) DoorReauth(ctx context.Context, file mach.Port, uids, gids []int32) (mach.Port, error) {
	if len(uids) > maxIDs || len(gids) > maxIDs || !file.Valid() {
		return mach.Null, proto.EINVAL
	}
	p := d.Policy()
	user, err := d.become(ctx, file, Map(p.Users, d.Peer, uids), Map(p.Groups, d.Peer, gids))
	if err != nil {
		return mach.Null, err
	}
	proto.Release(ctx, file)
	return user, nil
}

// DoorMap is io_map of a file for the peer. The file's own memory objects will do if they
// can have several kernels: one that a kernel has made for its own tasks, as for a file
// that is open for reading only, cannot be used there at all, nor can a device's; and a pager
// for one kernel would have none for the next.
func (d *Door) DoorMap(ctx context.Context, file mach.Port) (rd, wr mach.Port, err error) {
	rd, wr, err = proto.IOMap(ctx, file)
	if err != nil {
		return mach.Null, mach.Null, err
	}
	if d.many(ctx, rd) && (wr == rd || d.many(ctx, wr)) {
		proto.Release(ctx, file)
		return rd, wr, nil
	}
	proto.Release(ctx, rd, wr)
	if d.Map == nil {
		return mach.Null, mach.Null, proto.EOPNOTSUPP
	}
	if rd, wr, err = d.Map(ctx, file); err != nil {
		return mach.Null, mach.Null, err
	}
	proto.Release(ctx, file)
	return rd, wr, nil
}

// many reports whether a memory object, if there is one, can have several kernels.
func (d *Door) many(ctx context.Context, object mach.Port) bool {
	return !object.Valid() || d.Many != nil && d.Many(ctx, object)
}

// become returns what file, which is borrowed, is to a user of this node.
func (d *Door) become(ctx context.Context, file mach.Port, uids, gids []int32) (mach.Port, error) {
	auth, err := proto.AuthMakeauth(ctx, d.Self.Auth, nil, uids, uids, gids, gids)
	if err != nil {
		return mach.Null, err
	}
	defer proto.Release(ctx, auth)
	return hurd.Reauthenticate(ctx, auth, file)
}

// DoorInfo tells what the peer may have, for people.
func (d *Door) DoorInfo(context.Context) ([]byte, error) {
	p := d.Policy()
	var s strings.Builder
	for _, e := range p.Exports {
		if _, ok := p.Find(d.Peer, e.Name); ok {
			fmt.Fprintf(&s, "export %s\n", e.Name)
		}
	}
	return []byte(s.String()), nil
}
