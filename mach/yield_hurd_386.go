package mach

import _ "unsafe" // for go:linkname

// Yield lets every thread of this node that is about to run do so, and returns when they
// wait for something, or after a tick of the kernel's clock: until then the calling thread has
// the lowest priority. The shortest time that a timer can wait is one to two ticks, of 10 ms.
//
//go:nosplit
func Yield() {
	entersyscallblock()
	threadSwitch(Null, switchDepress, tick)
	exitsyscall()
}

const (
	switchDepress = 1  // SWITCH_OPTION_DEPRESS
	tick          = 10 // milliseconds
)

// threadSwitch is the trap thread_switch.
//
//go:noescape
func threadSwitch(thread Port, option, ms uint32) uint32

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()
