package rootfs

import (
	"context"
	"crypto/rand"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
)

// Numbers of devices, major<<8 | minor.
const (
	DevNull    = 1<<8 | 3
	DevZero    = 1<<8 | 5
	DevFull    = 1<<8 | 7
	DevRandom  = 1<<8 | 8
	DevURandom = 1<<8 | 9
	DevConsole = 5<<8 | 1
	DevTime    = 10<<8 | 135
)

// deviceNodes are the nodes that every system has in /dev.
var deviceNodes = []struct {
	name string
	dev  uint32
	mode uint32
}{
	{"null", DevNull, 0o666}, {"zero", DevZero, 0o666}, {"full", DevFull, 0o666},
	{"random", DevRandom, 0o644}, {"urandom", DevURandom, 0o644},
	{"console", DevConsole, 0o600}, {"time", DevTime, 0o644},
}

// magicNodes are the nodes of /dev that each client looks up by itself, and
// their passive translators.
var magicNodes = []struct {
	name string
	mode uint32
	argz string
}{
	{"fd", proto.S_IFDIR | 0o555, "/hurd/magic\x00--directory\x00fd\x00"},
	{"tty", proto.S_IFREG | 0o666, "/hurd/magic\x00tty\x00"},
}

// MakeDevices makes the nodes of devices in /dev, and /dev, as far as they are
// missing.
func (t *Tree) MakeDevices() error {
	root := t.files.Root()
	defer root.Release()
	dev, err := root.Create("dev", memfs.Attr{Mode: proto.S_IFDIR | 0o755})
	if err == proto.EEXIST {
		dev, err = root.Lookup("dev")
	}
	if err != nil {
		return err
	}
	defer dev.Release()
	for _, d := range deviceNodes {
		n, err := dev.Create(d.name, memfs.Attr{Mode: proto.S_IFCHR | d.mode, Rdev: d.dev})
		if err == proto.EEXIST {
			continue
		}
		if err != nil {
			return err
		}
		n.Release()
	}
	for _, m := range magicNodes {
		n, err := dev.Create(m.name, memfs.Attr{Mode: m.mode})
		if err == proto.EEXIST {
			continue
		}
		if err == nil {
			err = n.SetTranslator([]byte(m.argz))
			n.Release()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A stream is a device without state that never waits.
type stream struct {
	read, write func(p []byte) (int, error)
}

var _ translator.Stream = (*stream)(nil)

func (*stream) Close() {}

func (s *stream) Read(_ context.Context, p []byte, _ bool) (int, error) { return s.read(p) }

func (s *stream) Write(_ context.Context, p []byte, _ bool) (int, error) { return s.write(p) }

func device(s *stream) Device {
	return func(context.Context, int32) (translator.File, error) { return s, nil }
}

// MemoryDevices are the devices that need nothing but this program: null, zero,
// full, random and urandom.
func MemoryDevices() map[uint32]Device {
	all := func(p []byte) (int, error) { return len(p), nil }
	zeros := func(p []byte) (int, error) { clear(p); return len(p), nil }
	random := &stream{rand.Read, all} // what is written does no harm
	return map[uint32]Device{
		DevNull:    device(&stream{func([]byte) (int, error) { return 0, nil }, all}),
		DevZero:    device(&stream{zeros, all}),
		DevFull:    device(&stream{zeros, func([]byte) (int, error) { return 0, proto.ENOSPC }}),
		DevRandom:  device(random),
		DevURandom: device(random),
	}
}

// A timeDevice is the kernel's clock: a page that can be mapped, and read.
type timeDevice struct {
	// page is the page, which the kernel changes.
	page []byte
	// object makes a right to its memory object.
	object func(ctx context.Context) (mach.Port, error)
}

var (
	_ translator.ReaderAt = (*timeDevice)(nil)
	_ translator.Mapper   = (*timeDevice)(nil)
)

func (*timeDevice) Close() {}

func (d *timeDevice) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return copy(p, d.page[min(off, int64(len(d.page))):]), nil
}

func (d *timeDevice) Map(ctx context.Context, prot mach.Prot) (mach.Port, error) {
	if prot&mach.ProtWrite != 0 {
		return mach.Null, proto.EACCES
	}
	return d.object(ctx)
}
