//go:build !hurd

package mach

import (
	"fmt"

	"hurdlab/mach/wire"
)

// This is what there is to a Mach kernel on an OS that is not on Mach, so
// that the rest of the package, and its users, build and can be tested there.

// A host stands in for the kernel and for the machine.
type host interface {
	layout() wire.Layout
	// message does what the trap mach_msg does.
	message(b []byte, option uint32, sendSize int, rcvName Port) KernReturn
	// memory is where the out-of-line data of received messages is.
	memory() wire.Memory
}

// testHost is set by this package's tests to see what would be sent, in
// either layout.
var testHost host

func native() wire.Layout {
	if testHost != nil {
		return testHost.layout()
	}
	return wire.Native
}

func machMsg(b []byte, option uint32, sendSize int, rcvName Port, timeout uint32) KernReturn {
	if testHost != nil {
		return testHost.message(b, option, sendSize, rcvName)
	}
	return NotMach
}

func machMsgBlock(b []byte, option uint32, sendSize int, rcvName Port, timeout uint32) KernReturn {
	return machMsg(b, option, sendSize, rcvName, timeout)
}

type poll struct{}

func pollOpen(name Port) (poll, KernReturn)  { return poll{}, NotMach }
func (poll) recv(b []byte) (int, KernReturn) { return 0, NotMach }
func (poll) wake()                           {}
func (poll) close()                          {}

func replyPort() (Port, KernReturn) {
	if testHost != nil {
		return 1, KernSuccess
	}
	return Null, NotMach
}

// TaskSelf returns the port of this task: here, there is none.
func TaskSelf() Port { return Null }

// HostSelf returns the unprivileged port of the host: here, there is none.
func HostSelf() Port { return Null }

// HostPriv returns the privileged port of the host: here, there is none.
func HostPriv() Port { return Null }

// DeviceMaster returns the port that opens devices: here, there is none.
func DeviceMaster() Port { return Null }

type memory struct{}

func (memory) Bytes(addr uint64, n int) ([]byte, error) {
	if testHost != nil {
		return testHost.memory().Bytes(addr, n)
	}
	return nil, fmt.Errorf("%d bytes at %#x: %w", n, addr, NotMach)
}

// addressOf is never sent anywhere.
func addressOf(b []byte) uint64 { return 0 }

const errnoIsHurd = false

func errnoText(n int) string           { return "" }
func errnoIs(n int, target error) bool { return false }
