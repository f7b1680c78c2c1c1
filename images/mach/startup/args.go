package startup

import (
	"context"
	"encoding/binary"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// SetArgs tells the process server other arguments of this program than those
// it was started with: a boot module's first is where the boot loader had it
// from. Whoever asks for the arguments reads them from this program's memory.
func SetArgs(ctx context.Context, proc mach.Port, argv []string) error {
	const room = 16 * mach.PageSize
	at, err := mach.VMAllocate(mach.TaskSelf(), room)
	if err != nil {
		return err
	}
	block := argBlock(uint32(at), argv)
	if len(block) > room {
		return proto.E2BIG
	}
	if err := mach.VMWrite(mach.TaskSelf(), at, append(block, make([]byte, room-len(block))...)); err != nil {
		return err
	}
	return proto.ProcSetArgLocations(ctx, proc, uint64(at), 0)
}

// argBlock is the arguments as they are in memory at an address: their
// addresses, a zero, and each with a zero byte.
func argBlock(at uint32, argv []string) (block []byte) {
	next := at + 4*uint32(len(argv)+1)
	for _, a := range argv {
		block = binary.LittleEndian.AppendUint32(block, next)
		next += uint32(len(a)) + 1
	}
	block = binary.LittleEndian.AppendUint32(block, 0)
	for _, a := range argv {
		block = append(append(block, a...), 0)
	}
	return block
}
