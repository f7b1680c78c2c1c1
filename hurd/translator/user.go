package translator

import "slices"

// A User is who a client is: the ids that the authentication server vouches
// for. A User without ids is nobody, who may do what everybody may.
type User struct {
	UIDs, GIDs []uint32
}

// Root is the user who may do everything.
func Root() User { return User{UIDs: []uint32{0}, GIDs: []uint32{0}} }

// Has reports whether uid is among the user's.
func (u User) Has(uid uint32) bool { return slices.Contains(u.UIDs, uid) }

// In reports whether the user is in the group gid.
func (u User) In(gid uint32) bool { return slices.Contains(u.GIDs, gid) }

// IsRoot reports whether the user may do everything.
func (u User) IsRoot() bool { return u.Has(0) }

// Owns reports whether the user may do what a node's owner may: who has its
// uid, root, and who has as a user id the node's group, being in it.
func (u User) Owns(st Stat) bool {
	return u.IsRoot() || u.Has(st.UID) || u.In(st.GID) && u.Has(st.GID)
}

// Restrict returns the user with only those ids that are also in uids and
// gids. Root keeps what it is asked to.
func (u User) Restrict(uids, gids []uint32) User {
	if u.IsRoot() {
		return User{slices.Clone(uids), slices.Clone(gids)}
	}
	return User{common(u.UIDs, uids), common(u.GIDs, gids)}
}

func common(have, want []uint32) []uint32 {
	var ids []uint32
	for _, id := range want {
		if slices.Contains(have, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
