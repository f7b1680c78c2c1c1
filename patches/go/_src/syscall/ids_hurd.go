// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Who a process is, to the servers: on the Hurd that is a port of the auth
// server, which has the ids, and every object that a process has a port of
// was told at some time who has it.

// ids returns the effective and available user and group ids of this process,
// which are those of its auth port.
func ids() (ids [4][]uint32) {
	initRPC(initPortAUTH, _auth_getids, nil, func(m *message) {
		for i := range ids {
			ids[i] = m.ints()
		}
	})
	return ids
}

const (
	effectiveUsers = iota
	availableUsers
	effectiveGroups
	availableGroups
)

// idOf returns the first id of a kind. A program without an auth port, and
// thus without protection, has the ids of root.
func idOf(kind int) int {
	if !haveInitPort(initPortAUTH) {
		return 0
	}
	if v := ids()[kind]; len(v) > 0 {
		return int(v[0])
	}
	return -1 // there are processes without ids
}

func Getuid() int  { return idOf(availableUsers) }
func Geteuid() int { return idOf(effectiveUsers) }
func Getgid() int  { return idOf(availableGroups) }
func Getegid() int { return idOf(effectiveGroups) }

func Getgroups() (groups []int, err error) {
	for _, id := range ids()[effectiveGroups] {
		groups = append(groups, int(id))
	}
	return groups, nil
}

// makeAuth makes an auth port with ids, which auth and others must have, if
// none of them is root's.
func makeAuth(auth uint32, others []uint32, ids [4][]uint32) (uint32, error) {
	return rpcPort(auth, _auth_makeauth, func(m *message) {
		m.putPorts(others)
		for _, v := range ids {
			m.putInts(v)
		}
	})
}

// reauthenticateWith returns an own port for the object of port, with the
// rights of auth.
func reauthenticateWith(port, auth uint32) (uint32, error) {
	return rendezvous(port, _io_reauthenticate, auth)
}

// reauthenticateProc is that for a port of a process, which needs to know when
// it is done.
func reauthenticateProc(port, auth uint32) (uint32, error) {
	n, err := rendezvous(port, _proc_reauthenticate, auth)
	if err != nil {
		return 0, err
	}
	m := message{buf: make([]byte, msgHeaderSize)}
	m.setHeader(msgBitsOneway, n, 0, _proc_reauthenticate_complete)
	if err := machError(sendMessage(&m)); err != nil {
		portDeallocate(n)
		return 0, err
	}
	return n, nil
}

// rendezvous has the server of port and the auth server meet: both are told of
// a port that only they have.
func rendezvous(port, id, auth uint32) (uint32, error) {
	meeting := MachReplyPort()
	if meeting == 0 {
		return 0, ENOMEM
	}
	defer portDestroyReceive(meeting)
	m := message{buf: make([]byte, msgHeaderSize, 64)}
	m.putPort(typeMakeSend, meeting)
	m.setHeader(msgBitsOneway, port, 0, id)
	if err := machError(sendMessage(&m)); err != nil {
		return 0, err
	}
	return rpcPort(auth, _auth_user_authenticate, func(m *message) { m.putPort(typeMakeSend, meeting) })
}

// reauthenticate exchanges port, which a server gave to anybody, for one that
// has the rights of this process.
func reauthenticate(port uint32) (uint32, error) {
	defer portDeallocate(port)
	auth := useInitPort(initPortAUTH)
	defer auth.release()
	return reauthenticateWith(port, auth.port())
}

// setAuth makes auth, which it takes over, the auth port of this process, and
// introduces the process to its servers again. What does not know of users
// stays as it is.
func setAuth(auth uint32) error {
	proc := useInitPort(initPortPROC)
	defer proc.release()
	if proc != nil {
		n, err := reauthenticateProc(proc.name, auth)
		if err != nil {
			portDeallocate(auth)
			return err
		}
		replaceInitPort(initPortPROC, newSharedPort(n))
	}
	replaceInitPort(initPortAUTH, newSharedPort(auth))

	var objects []*portObject
	add := func(d *descriptor) {
		if d != nil {
			if o, ok := d.object.(*portObject); ok {
				objects = append(objects, o)
			}
		}
	}
	for _, i := range []int{initPortCWDIR, initPortCRDIR} {
		if d := currentDir(i); d != nil {
			defer d.release()
			add(d)
		}
	}
	descriptors.once.Do(startDescriptors)
	descriptors.RLock()
	for _, d := range descriptors.table {
		if d != nil {
			d.refs.Add(1)
			defer d.release()
			add(d)
		}
	}
	descriptors.RUnlock()
	done := map[*portObject]bool{}
	for _, o := range objects {
		if done[o] {
			continue
		}
		done[o] = true
		if n, err := reauthenticateWith(o.name(), auth); err == nil {
			o.setName(n)
		}
	}
	return nil
}

// changeIDs gives this process the ids that change makes of those it has.
func changeIDs(change func(*[4][]uint32)) error { return changeAuth(nil, change) }

// changeAuth is changeIDs with ids that others have.
func changeAuth(others []uint32, change func(*[4][]uint32)) error {
	auth := useInitPort(initPortAUTH)
	defer auth.release()
	if auth == nil {
		return ENOSYS
	}
	v := ids()
	change(&v)
	n, err := makeAuth(auth.name, others, v)
	if err != nil {
		return err
	}
	return setAuth(n)
}

// setFirst returns v with id first.
func setFirst(v []uint32, id int) []uint32 {
	if len(v) == 0 {
		return []uint32{uint32(id)}
	}
	v = append([]uint32(nil), v...)
	v[0] = uint32(id)
	return v
}

// isRoot reports whether one of the ids is that of root.
func isRoot(v [4][]uint32) bool {
	for _, kind := range []int{effectiveUsers, availableUsers} {
		for _, id := range v[kind] {
			if id == 0 {
				return true
			}
		}
	}
	return false
}

// Setuid and Setgid set all ids of a kind if the process is root's, otherwise
// only the effective one.

func Setuid(uid int) error {
	return changeIDs(func(v *[4][]uint32) {
		if isRoot(*v) {
			v[availableUsers] = []uint32{uint32(uid), uint32(uid)}
		}
		v[effectiveUsers] = setFirst(v[effectiveUsers], uid)
	})
}

func Setgid(gid int) error {
	return changeIDs(func(v *[4][]uint32) {
		if isRoot(*v) {
			v[availableGroups] = []uint32{uint32(gid), uint32(gid)}
		}
		v[effectiveGroups] = setFirst(v[effectiveGroups], gid)
	})
}

// setReal sets the real and the effective id, each unless it is -1, and the
// saved one to the effective.
func setReal(v *[4][]uint32, effective, available, real, e int) {
	if real >= 0 {
		v[available] = setFirst(v[available], real)
	}
	if e >= 0 {
		v[effective] = setFirst(v[effective], e)
		if len(v[available]) == 0 {
			v[available] = []uint32{uint32(e)}
		}
		v[available] = append(v[available][:1:1], uint32(e))
	}
}

func Setreuid(ruid, euid int) error {
	return changeIDs(func(v *[4][]uint32) { setReal(v, effectiveUsers, availableUsers, ruid, euid) })
}

func Setregid(rgid, egid int) error {
	return changeIDs(func(v *[4][]uint32) { setReal(v, effectiveGroups, availableGroups, rgid, egid) })
}

// Setgroups sets the supplementary groups, which are behind the effective one.
func Setgroups(gids []int) error {
	return changeIDs(func(v *[4][]uint32) {
		groups := v[effectiveGroups][:min(1, len(v[effectiveGroups])):1]
		if len(v[effectiveGroups]) == 0 {
			groups = nil
		}
		for _, gid := range gids {
			groups = append(groups, uint32(gid))
		}
		v[effectiveGroups] = groups
	})
}
