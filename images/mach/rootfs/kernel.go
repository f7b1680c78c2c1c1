package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// rights is what a tree does with rights to ports of others.
type rights interface {
	// Copy makes another send right of one. It fails if the port is dead.
	Copy(p mach.Port) error
	// Release gives back send rights.
	Release(p ...mach.Port)
}

// machRights are those of this task.
type machRights struct{}

func (machRights) Copy(p mach.Port) error {
	return mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
}

func (machRights) Release(ports ...mach.Port) {
	for _, p := range ports {
		if p.Valid() {
			_ = mach.Deallocate(p) // a dead name is one, too
		}
	}
}

// Memory is memory for contents of files, from the kernel.
//
// The kernel merges neighbouring regions of the same kind into one object, and
// gives back the pages of an object only when all of it goes. Slabs are
// therefore of two kinds, in turn, as squares of a chessboard are.
type Memory struct {
	// KeepFree is how much memory of the machine stays free, in bytes: files do
	// not take the last. Without a default pager a machine that runs out of
	// memory loses programs.
	KeepFree uint64
}

var _ memfs.Memory = Memory{}

// Alloc returns a slab.
func (m Memory) Alloc() ([]byte, error) {
	if st, err := mach.VMStats(mach.TaskSelf()); err != nil || uint64(st.Free)*pageSize < m.KeepFree {
		return nil, fmt.Errorf("%d pages are free: %w", st.Free, mach.KernResourceShortage)
	}
	a := mach.Mapping{
		Size: memfs.SlabSize, Mask: memfs.SlabSize - 1, Anywhere: true,
		Prot: mach.ProtRead | mach.ProtWrite, MaxProt: mach.ProtAll, Inherit: mach.InheritNone,
	}
	self := mach.TaskSelf()
	addr, err := mach.VMMap(self, a)
	for tries := 0; err == nil && addr/memfs.SlabSize%2 != 0; tries++ {
		// Here the other kind is due. That somebody else takes the place
		// meanwhile is rare.
		if err = mach.VMDeallocate(self, addr, a.Size); err != nil {
			break
		}
		b := a
		b.Addr, b.Anywhere, b.Inherit = addr, false, mach.InheritCopy
		got, mapErr := mach.VMMap(self, b)
		if mapErr == nil {
			addr = got
			break
		}
		if tries == 5 {
			return nil, mapErr
		}
		addr, err = mach.VMMap(self, a)
	}
	if err != nil {
		return nil, err
	}
	return vmem.At(addr, memfs.SlabSize), nil
}

// Free gives back a slab.
func (Memory) Free(slab []byte) { vmem.Memory{}.Free(slab) }

// A Ramdisk is a ramdisk of the kernel's, mapped: [io.ReaderAt].
type Ramdisk struct{ data []byte }

// ReadAt reads like [io.ReaderAt].
func (r *Ramdisk) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(r.data)) {
		return 0, errors.New("outside the ramdisk")
	}
	n := copy(b, r.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Size returns the size of the ramdisk, in bytes: a multiple of 512.
func (r *Ramdisk) Size() int64 { return int64(len(r.data)) }

// OpenRamdisk maps a ramdisk of the kernel's: a boot module of $(ramdisk-create).
// The memory is the kernel's; the mapping costs none.
func OpenRamdisk(ctx context.Context, master mach.Port, name string) (*Ramdisk, error) {
	device, err := mach.DeviceOpen(ctx, master, name, mach.ModeRead)
	if err != nil {
		return nil, err
	}
	status, err := mach.DeviceGetStatus(device, mach.DeviceSize)
	if err != nil {
		return nil, err
	}
	if len(status) == 0 || status[0] <= 0 {
		return nil, fmt.Errorf("device %s has no size: %v", name, status)
	}
	b, _, err := mapDevice(ctx, device, int(status[0]))
	if err != nil {
		return nil, fmt.Errorf("map device %s: %w", name, err)
	}
	return &Ramdisk{b}, nil
}

// mapDevice maps n bytes of a device for reading. The memory object is the
// caller's.
func mapDevice(ctx context.Context, device mach.Port, n int) ([]byte, mach.Port, error) {
	size := (uintptr(n) + pageSize - 1) &^ (pageSize - 1)
	object, err := mach.DeviceMap(ctx, device, mach.ProtRead, 0, size)
	if err != nil {
		return nil, mach.Null, err
	}
	addr, err := mach.VMMap(mach.TaskSelf(), mach.Mapping{
		Size: size, Anywhere: true, Object: object,
		Prot: mach.ProtRead, MaxProt: mach.ProtRead, Inherit: mach.InheritNone,
	})
	if err != nil {
		_ = mach.Deallocate(object)
		return nil, mach.Null, err
	}
	return vmem.At(addr, n), object, nil
}

// OpenTime returns the device of the kernel's clock.
func OpenTime(ctx context.Context, master mach.Port) (Device, error) {
	device, err := mach.DeviceOpen(ctx, master, "time", mach.ModeRead)
	if err != nil {
		return nil, err
	}
	page, object, err := mapDevice(ctx, device, pageSize)
	if err != nil {
		return nil, fmt.Errorf("map device time: %w", err)
	}
	d := &timeDevice{page, func(context.Context) (mach.Port, error) { return object, machRights{}.Copy(object) }}
	return func(context.Context, int32) (translator.File, error) { return d, nil }, nil
}
