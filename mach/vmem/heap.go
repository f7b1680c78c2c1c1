package vmem

import "runtime"

// ReserveHeap gives Go's heap n bytes of addresses. Without them, the runtime of the port lets
// a heap grow beyond its first 4 MB only if the machine has some 20 MB free at that moment,
// and ends the program otherwise: that is meant for programs, so that who takes all that
// there is leaves something to servers. A server which others depend on, and that has a limit
// of its own (debug.SetMemoryLimit), calls this when it starts. No memory is taken: pages are
// there when they are used, and go back when they are not.
func ReserveHeap(n int) {
	reserved = make([]byte, n)
	reserved = nil
	runtime.GC()
}

var reserved []byte // so that it is made
