// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"sync"
	"sync/atomic"
)

// The initial ports: what a process knows of the world when it begins.

// What is where in the ports that the exec server passes.
const (
	initPortCWDIR = iota
	initPortCRDIR
	initPortAUTH
	initPortPROC
	initPortCTTYID
	initPortBOOTSTRAP
	initPortMax
)

// And in the integers.
const (
	initUmask = iota
	initSigmask
	initSigign
	initSigpending
	initTracemask
	initIntMax
)

// A sharedPort is a send right with several users, which is given up when the
// last of them has released it. Nil is the null port.
type sharedPort struct {
	name uint32
	refs atomic.Int32
}

func newSharedPort(name uint32) *sharedPort {
	if name == _MACH_PORT_NULL || name == _MACH_PORT_DEAD {
		return nil
	}
	p := &sharedPort{name: name}
	p.refs.Store(1)
	return p
}

func (p *sharedPort) release() {
	if p != nil && p.refs.Add(-1) == 0 {
		portDeallocate(p.name)
	}
}

// port is the name of p.
func (p *sharedPort) port() uint32 {
	if p == nil {
		return _MACH_PORT_NULL
	}
	return p.name
}

// initPorts are the initial ports but for the two directories, which are in
// dirs.
var initPorts struct {
	sync.Mutex
	once  sync.Once
	ports [initPortMax]*sharedPort
}

func startInitPorts() {
	if start := HurdStart(); start != nil {
		for i, name := range start.Ports {
			if i >= initPortAUTH && i < initPortMax {
				initPorts.ports[i] = newSharedPort(name)
			}
		}
	}
}

// useInitPort returns one of the initial ports, to release.
func useInitPort(i int) *sharedPort {
	initPorts.once.Do(startInitPorts)
	initPorts.Lock()
	defer initPorts.Unlock()
	p := initPorts.ports[i]
	if p != nil {
		p.refs.Add(1)
	}
	return p
}

// haveInitPort reports whether one of the initial ports is there.
func haveInitPort(i int) bool {
	p := useInitPort(i)
	p.release()
	return p != nil
}

// initRPC is rpc for a call of one of the initial ports.
func initRPC(i int, id uint32, build, take func(*message)) error {
	p := useInitPort(i)
	defer p.release()
	return rpc(p.port(), id, build, take)
}

// initRPCPort is rpcPort for a call of one of the initial ports.
func initRPCPort(i int, id uint32, build func(*message)) (result uint32, err error) {
	err = initRPC(i, id, build, func(m *message) { result = m.port() })
	return result, err
}

// HurdSetPort makes port the initial port i, in the order of the Hurd's
// INIT_PORT constants, in place of the one that this process was started
// with. The send right is this package's from then on. So the servers that
// run before there is a proc or auth server become processes like others:
// with a proc port the process also tells the proc server its message port
// and where its arguments are.
func HurdSetPort(i int, port uint32) error {
	if i < 0 || i >= initPortMax {
		return EINVAL
	}
	if i == initPortCWDIR || i == initPortCRDIR {
		var d *descriptor
		if port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
			d = newDescriptor(newPortObject(port))
		}
		setDir(i, d)
		return nil
	}
	replaceInitPort(i, newSharedPort(port))
	if i == initPortPROC && port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
		return registerProcess()
	}
	return nil
}

func replaceInitPort(i int, p *sharedPort) {
	initPorts.once.Do(startInitPorts)
	initPorts.Lock()
	old := initPorts.ports[i]
	initPorts.ports[i] = p
	runtime_hurdSetPort(i, p.port())
	initPorts.Unlock()
	old.release()
}

// registerProcess tells the proc server what it wants to know of a process.
func registerProcess() error {
	msgport, args, env := runtime_hurdProcess()
	old, err := initRPCPort(initPortPROC, _proc_setmsgport, func(m *message) { m.putPort(typeMakeSend, msgport) })
	if err != nil {
		return err
	}
	portDeallocate(old)
	return initRPC(initPortPROC, _proc_set_arg_locations, func(m *message) {
		m.putWord(args)
		m.putWord(env)
	}, nil)
}

// Provided by package runtime.

func runtime_hurdSetPort(i int, port uint32)
func runtime_hurdProcess() (msgport uint32, args, env uintptr)
