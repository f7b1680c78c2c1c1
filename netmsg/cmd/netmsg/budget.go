package main

import (
	"fmt"
	"runtime/debug"

	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// A limits is how much memory netmsg may take, in bytes.
type limits struct {
	queue int // of what a peer does not read
	keep  int // kept to be used again
}

// budget derives the limits from the memory of the node, and sets that of Go's heap, in which
// there are no large messages.
func budget() (limits, error) {
	s, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return limits{}, fmt.Errorf("how much memory there is: %w", err)
	}
	all := int(min(uint64(s.Free+s.Active+s.Inactive+s.Wired)*uint64(s.PageSize), 1<<30))
	debug.SetGCPercent(50)
	heap := max(all/16, 8<<20)
	debug.SetMemoryLimit(int64(heap))
	vmem.ReserveHeap(heap) // or it would end when programs leave little memory
	return limits{queue: min(max(all/16, 4<<20), 64<<20), keep: min(all/128, 4<<20)}, nil
}
