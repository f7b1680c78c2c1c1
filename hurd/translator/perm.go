package translator

import (
	"context"
	"slices"

	"hurdlab/hurd/proto"
)

// Kinds of access: the bits of a mode for others, and of O_ flags.
const (
	mayRead  = proto.O_READ
	mayWrite = proto.O_WRITE
	mayExec  = proto.O_EXEC
	mayAll   = mayRead | mayWrite | mayExec
)

// allowed returns what st lets the user do, as O_ bits.
func allowed(u User, st *Stat) int32 {
	if u.IsRoot() {
		// Root may do everything, but execute only what somebody may.
		if st.Mode&proto.S_IFMT == proto.S_IFREG && st.Mode&0o111 == 0 {
			return mayRead | mayWrite
		}
		return mayAll
	}
	var rwx uint32
	switch {
	case len(u.UIDs) == 0 && st.Mode&proto.S_IUSEUNK != 0:
		rwx = st.Mode & proto.S_IUNKNOWN >> proto.S_IUNKSHIFT
	case u.Owns(*st):
		rwx = st.Mode >> 6
	case u.In(st.GID):
		rwx = st.Mode >> 3
	default:
		rwx = st.Mode
	}
	var may int32
	if rwx&4 != 0 {
		may |= mayRead
	}
	if rwx&2 != 0 {
		may |= mayWrite
	}
	if rwx&1 != 0 {
		may |= mayExec
	}
	return may
}

// access returns what the user may do with n, whose description is st.
func access(ctx context.Context, n Node, st *Stat, u User) (int32, error) {
	if a, ok := n.(Accesser); ok {
		return a.Access(ctx, u)
	}
	return allowed(u, st), nil
}

// check fails with EACCES if the user may not do all that how says.
func check(ctx context.Context, n Node, st *Stat, u User, how int32) error {
	if may, err := access(ctx, n, st, u); err != nil {
		return err
	} else if may&how != how {
		return proto.EACCES
	}
	return nil
}

// checkSticky fails if the directory dir is sticky and the entry st is
// somebody else's.
func checkSticky(u User, dir, st *Stat) error {
	if dir.Mode&proto.S_ISVTX == 0 || u.IsRoot() || u.Has(dir.UID) || u.Has(st.UID) {
		return nil
	}
	return proto.EACCES
}

// newIn returns how a node is made that the user makes in a directory.
// Its group is the directory's.
func newIn(dir *Stat, u User, mode uint32) New {
	n := New{Mode: mode, GID: dir.GID}
	if len(u.UIDs) > 0 {
		n.UID = u.UIDs[0]
	} else {
		n.UID = dir.UID
		n.Mode &^= proto.S_ISUID
	}
	if !u.In(n.GID) && !u.IsRoot() {
		n.Mode &^= proto.S_ISGID
	}
	if mode&proto.S_IFMT == proto.S_IFDIR && dir.Mode&proto.S_ISGID != 0 {
		n.Mode |= proto.S_ISGID
	}
	return n
}

const (
	permBits = 0o7777 // what chmod changes
	setIDs   = proto.S_ISUID | proto.S_ISGID
)

// chmod returns the change that file_chmod makes.
func chmod(u User, st *Stat, mode uint32) (Attr, error) {
	if !u.Owns(*st) {
		return Attr{}, proto.EPERM
	}
	mode &= permBits
	if !u.IsRoot() {
		if st.Mode&proto.S_IFMT != proto.S_IFDIR {
			mode &^= proto.S_ISVTX
		}
		if !u.In(st.GID) {
			mode &^= proto.S_ISGID
		}
		if !u.Has(st.UID) {
			mode &^= proto.S_ISUID
		}
	}
	return Attr{Set: SetMode, Mode: mode}, nil
}

// unchanged is an id that file_chown leaves as it is.
const unchanged = ^uint32(0)

// chown returns the change that file_chown makes: the owner may give the file
// to a group that he is in, only root gives it away.
func chown(u User, st *Stat, uid, gid uint32) (Attr, error) {
	var a Attr
	if uid != unchanged {
		a.Set |= SetUID
		a.UID = uid
	}
	if gid != unchanged {
		a.Set |= SetGID
		a.GID = gid
	}
	if !u.IsRoot() {
		if !u.Owns(*st) ||
			a.Set&SetUID != 0 && uid != st.UID && !u.Has(uid) ||
			a.Set&SetGID != 0 && gid != st.GID && !u.In(gid) {
			return Attr{}, proto.EPERM
		}
		// Whom the program now acts for is not whom the owner meant.
		if st.Mode&setIDs != 0 && st.Mode&proto.S_IFMT == proto.S_IFREG {
			a.Set |= SetMode
			a.Mode = st.Mode & permBits &^ setIDs
		}
	}
	return a, nil
}

// written returns the change that a write by the user makes, if any.
func written(u User, st *Stat) (a Attr, ok bool) {
	if st.Mode&setIDs == 0 || st.Mode&proto.S_IFMT != proto.S_IFREG || u.IsRoot() {
		return a, false
	}
	return Attr{Set: SetMode, Mode: st.Mode & permBits &^ setIDs}, true
}

// ids makes user ids of what messages carry.
func ids(list []int32) []uint32 {
	if len(list) == 0 {
		return nil
	}
	u := make([]uint32, len(list))
	for i, id := range list {
		u[i] = uint32(id)
	}
	return u
}

// wire is the opposite of ids.
func wireIDs(list []uint32) []int32 {
	w := make([]int32, len(list))
	for i, id := range list {
		w[i] = int32(id)
	}
	return w
}

// maxIDs bounds the ids of a user, which are looked through for everything.
const maxIDs = 256

func newUser(uids, gids []int32) (User, error) {
	if len(uids) > maxIDs || len(gids) > maxIDs {
		return User{}, proto.EINVAL
	}
	return User{ids(uids), ids(gids)}, nil
}

func (u User) equal(v User) bool {
	return slices.Equal(u.UIDs, v.UIDs) && slices.Equal(u.GIDs, v.GIDs)
}
