package proto

import (
	"encoding/binary"
	"strings"

	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/mach/wire"
)

// Limits of arrays in messages. A kernel's message has no other, so that they
// bound what a request can make a server allocate.
const (
	stringSize = 1024     // of a string, with its end
	maxItems   = 64 << 10 // of ids, names and integers
	maxRights  = 4096
	maxState   = 1024
	maxData    = 16 << 20 // bytes of an array of characters
)

// MaxString is the length of the longest string that a message can have.
const MaxString = stringSize - 1

func takeString(m *mach.Message) string { return m.TakeString() }

func putData(m *mach.Message, b []byte) {
	if len(b) > wire.InlineLimit {
		// Pages of their own: out-of-line memory is copied lazily, and pages
		// of Go's heap that were so would be copied by their next writer.
		if pages, err := (vmem.Memory{}).Alloc(len(b)); err == nil {
			copy(pages, b)
			m.PutMemory(mach.Char, uint64(vmem.Addr(pages)), len(b), true)
			return
		}
	}
	m.PutData(mach.Char, b)
}

// putPages puts what a server has returned: with give, its memory goes with the message.
func putPages(m *mach.Message, b []byte, give bool) {
	if !give || len(b) == 0 {
		putData(m, b)
		return
	}
	m.PutMemory(mach.Char, uint64(vmem.Addr(b)), len(b), true)
}

func takeData(m *mach.Message) []byte {
	b := m.TakeData(maxData)
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

func putChar(m *mach.Message, c byte) {
	m.Put(wire.Desc{Type: mach.Char, Bits: 8, Number: 1}, []byte{c})
}

func takeChar(m *mach.Message) byte { return takeChars(m, 1)[0] }

// takeChars and the like take an array of exactly n. They return n elements
// in any case.
func takeChars(m *mach.Message, n int) []byte { return exactly(m, m.TakeData(n), n) }

func takeInt16s(m *mach.Message, n int) []uint16 { return exactly(m, m.TakeInt16s(n), n) }

func takeInt32s(m *mach.Message, n int) []int32 { return exactly(m, m.TakeInt32s(n), n) }

func exactly[T any](m *mach.Message, x []T, n int) []T {
	if len(x) != n {
		m.Fail("an array of another size")
		return make([]T, n)
	}
	return x
}

func putLongs(m *mach.Message, x []int64) {
	d := wire.Desc{Type: wire.Int64, Bits: 64, Number: uint32(len(x)), Long: true}
	b := make([]byte, 0, 8*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	putArray(m, d, b)
}

func putNames(m *mach.Message, x []mach.Port) {
	d := wire.Desc{Type: wire.PortName, Bits: 32, Number: uint32(len(x)), Long: true}
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	putArray(m, d, b)
}

func putArray(m *mach.Message, d wire.Desc, b []byte) {
	if len(b) <= wire.InlineLimit {
		m.Put(d, b)
		return
	}
	d.OOL = true
	m.PutOOL(d, b)
}

func takeNames(m *mach.Message) []mach.Port {
	n := m.TakeNames()
	if len(n) > maxItems {
		m.Fail("too many names")
		return nil
	}
	return n
}

// A structure is written and read field by field: of 32 bits each in the
// 32-bit layout, of 64 where the description says long in the other.
type structure struct {
	layout wire.Layout
	b      []byte
	at     int
	short  bool
}

func (s *structure) int(x int64) {
	if s.layout == wire.Layout64 {
		s.align()
		s.b = binary.LittleEndian.AppendUint64(s.b, uint64(x))
		return
	}
	s.b = binary.LittleEndian.AppendUint32(s.b, uint32(x))
}

func (s *structure) int32(x int64) { s.b = binary.LittleEndian.AppendUint32(s.b, uint32(x)) }

func (s *structure) int64(x int64) {
	s.align()
	s.b = binary.LittleEndian.AppendUint64(s.b, uint64(x))
}

// align goes to where the 64-bit layout has a field of 8 bytes; the other
// aligns to 4.
func (s *structure) align() {
	for s.layout == wire.Layout64 && len(s.b)%8 != 0 {
		s.b = append(s.b, 0)
	}
}

// spare appends zeros up to the size of the structure.
func (s *structure) spare(small, large int) {
	if s.layout == wire.Layout64 {
		small = large
	}
	s.b = append(s.b, make([]byte, small-len(s.b))...)
}

func (s *structure) put(m *mach.Message) {
	d := wire.Desc{Type: wire.Int32, Bits: 32, Number: uint32(len(s.b) / 4)}
	if s.layout == wire.Layout64 {
		d = wire.Desc{Type: wire.Int64, Bits: 64, Number: uint32(len(s.b) / 8)}
	}
	m.Put(d, s.b)
}

// take takes a structure of the sizes in bytes, in the two layouts.
func take(m *mach.Message, small, large int) *structure {
	s := &structure{layout: m.Layout()}
	t, bits, size := wire.Int32, uint16(32), small
	if s.layout == wire.Layout64 {
		t, bits, size = wire.Int64, 64, large
	}
	it, ok := m.Take()
	if ok && (it.Type != t || it.Bits != bits || it.OOL || it.Long || len(it.Data) != size) {
		m.Fail("a structure of another form")
		ok = false
	}
	if !ok {
		s.b = make([]byte, size)
		return s
	}
	s.b = it.Data
	return s
}

func (s *structure) takeInt() int64 {
	if s.layout == wire.Layout64 {
		return s.takeInt64()
	}
	return s.takeInt32()
}

func (s *structure) takeInt32() int64 {
	x := int32(binary.LittleEndian.Uint32(s.b[s.at:]))
	s.at += 4
	return int64(x)
}

func (s *structure) takeUint32() uint32 { return uint32(s.takeInt32()) }

func (s *structure) takeInt64() int64 {
	if s.layout == wire.Layout64 {
		s.at = (s.at + 7) &^ 7
	}
	x := int64(binary.LittleEndian.Uint64(s.b[s.at:]))
	s.at += 8
	return x
}

// A Timespec is seconds and nanoseconds. The nanoseconds [UtimeNow] and
// [UtimeOmit] have a meaning of their own in file_utimens. In the 32-bit
// layout both have 32 bits.
type Timespec struct{ Sec, Nsec int64 }

func (t Timespec) put(m *mach.Message) { putPair(m, t.Sec, t.Nsec) }

func takeTimespec(m *mach.Message) Timespec {
	s, n := takePair(m)
	return Timespec{s, n}
}

// A Timeval is seconds and microseconds.
type Timeval struct{ Sec, Usec int64 }

func (t Timeval) put(m *mach.Message) { putPair(m, t.Sec, t.Usec) }

func takeTimeval(m *mach.Message) Timeval {
	s, u := takePair(m)
	return Timeval{s, u}
}

func putPair(m *mach.Message, a, b int64) {
	s := structure{layout: m.Layout()}
	s.int(a)
	s.int(b)
	s.put(m)
}

func takePair(m *mach.Message) (a, b int64) {
	s := take(m, 8, 16)
	a = s.takeInt()
	return a, s.takeInt()
}

// Stat is what io_stat tells of a file (section 5.6).
type Stat struct {
	FSType              int32
	FSID                uint64 // the device
	Ino                 uint64
	Gen                 uint32
	Rdev                uint64
	Mode                uint32 // S_IFMT and the rest, see the S constants
	Nlink               uint64
	UID, GID            uint32
	Size                int64
	Atime, Mtime, Ctime Timespec
	Blksize             int64
	Blocks              int64 // of 512 bytes
	Author              uint32
	Flags               uint32
}

func (x Stat) put(m *mach.Message) {
	s := structure{layout: m.Layout()}
	s.int32(int64(x.FSType))
	s.int64(int64(x.FSID))
	s.int64(int64(x.Ino))
	s.int32(int64(x.Gen))
	s.int(int64(x.Rdev))
	s.int32(int64(x.Mode))
	s.int(int64(x.Nlink))
	s.int32(int64(x.UID))
	s.int32(int64(x.GID))
	s.int64(x.Size)
	for _, t := range [...]Timespec{x.Atime, x.Mtime, x.Ctime} {
		s.int(t.Sec)
		s.int(t.Nsec)
	}
	s.int(x.Blksize)
	s.int64(x.Blocks)
	s.int32(int64(x.Author))
	s.int32(int64(x.Flags))
	s.spare(128, 176)
	s.put(m)
}

func takeStat(m *mach.Message) Stat {
	s := take(m, 128, 176)
	var x Stat
	x.FSType = int32(s.takeInt32())
	x.FSID = uint64(s.takeInt64())
	x.Ino = uint64(s.takeInt64())
	x.Gen = s.takeUint32()
	x.Rdev = s.takeUint()
	x.Mode = s.takeUint32()
	x.Nlink = s.takeUint()
	x.UID = s.takeUint32()
	x.GID = s.takeUint32()
	x.Size = s.takeInt64()
	for _, t := range [...]*Timespec{&x.Atime, &x.Mtime, &x.Ctime} {
		t.Sec = s.takeInt()
		t.Nsec = s.takeInt()
	}
	x.Blksize = s.takeInt()
	x.Blocks = s.takeInt64()
	x.Author = s.takeUint32()
	x.Flags = s.takeUint32()
	return x
}

func (s *structure) takeUint() uint64 {
	if s.layout == wire.Layout64 {
		return uint64(s.takeInt64())
	}
	return uint64(s.takeUint32())
}

// Statfs is what file_statfs tells of a file system (section 5.7).
type Statfs struct {
	Type                 uint32
	Bsize                int64
	Blocks, Bfree        uint64 // of Bsize bytes
	Bavail               uint64
	Files, Ffree, Favail uint64
	FSID                 uint64
	Namelen              int64
	Frsize               int64
	Flag                 int64
}

func (x Statfs) put(m *mach.Message) {
	s := structure{layout: m.Layout()}
	s.int32(int64(x.Type))
	s.int(x.Bsize)
	for _, n := range [...]uint64{x.Blocks, x.Bfree, x.Bavail, x.Files, x.Ffree, x.FSID} {
		s.int64(int64(n))
	}
	s.int(x.Namelen)
	s.int64(int64(x.Favail))
	s.int(x.Frsize)
	s.int(x.Flag)
	s.spare(88, 112)
	s.put(m)
}

func takeStatfs(m *mach.Message) Statfs {
	s := take(m, 88, 112)
	var x Statfs
	x.Type = s.takeUint32()
	x.Bsize = s.takeInt()
	for _, n := range [...]*uint64{&x.Blocks, &x.Bfree, &x.Bavail, &x.Files, &x.Ffree, &x.FSID} {
		*n = uint64(s.takeInt64())
	}
	x.Namelen = s.takeInt()
	x.Favail = uint64(s.takeInt64())
	x.Frsize = s.takeInt()
	x.Flag = s.takeInt()
	return x
}

// A Flock is a lock on a range of a file, for file_record_lock (section 5.7).
type Flock struct {
	Type       int32 // F_RDLCK, F_WRLCK, F_UNLCK
	Whence     int32 // 0 from the start, 1 from the file pointer, 2 from the end
	Start, Len int64 // 0 bytes are all up to the end
	PID        int32
}

func (x Flock) put(m *mach.Message) {
	s := structure{layout: m.Layout()}
	s.int32(int64(x.Type))
	s.int32(int64(x.Whence))
	s.int64(x.Start)
	s.int64(x.Len)
	s.int32(int64(x.PID))
	s.spare(28, 32)
	s.put(m)
}

func takeFlock(m *mach.Message) Flock {
	s := take(m, 28, 32)
	var x Flock
	x.Type = int32(s.takeInt32())
	x.Whence = int32(s.takeInt32())
	x.Start = s.takeInt64()
	x.Len = s.takeInt64()
	x.PID = int32(s.takeInt32())
	return x
}

// A Rusage is what a process has used.
type Rusage struct {
	Utime, Stime Timeval
	// Maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock,
	// msgsnd, msgrcv, nsignals, nvcsw, nivcsw.
	Counts [14]int64
}

func (x Rusage) put(m *mach.Message) {
	s := structure{layout: m.Layout()}
	for _, t := range [...]Timeval{x.Utime, x.Stime} {
		s.int(t.Sec)
		s.int(t.Usec)
	}
	for _, n := range x.Counts {
		s.int(n)
	}
	s.put(m)
}

func takeRusage(m *mach.Message) Rusage {
	s := take(m, 72, 144)
	var x Rusage
	for _, t := range [...]*Timeval{&x.Utime, &x.Stime} {
		t.Sec = s.takeInt()
		t.Usec = s.takeInt()
	}
	for i := range x.Counts {
		x.Counts[i] = s.takeInt()
	}
	return x
}

// A Uname names the system.
type Uname struct{ Sysname, Nodename, Release, Version, Machine string }

func (x Uname) put(m *mach.Message) {
	const size = 1024
	b := make([]byte, 0, 5*size)
	for _, f := range [...]string{x.Sysname, x.Nodename, x.Release, x.Version, x.Machine} {
		b = append(b, f[:min(len(f), size-1)]...)
		b = append(b, make([]byte, size-len(b)%size)...)
	}
	m.Put(wire.Desc{Type: mach.Char, Bits: 8, Number: 5 * size, Long: true}, b)
}

func takeUname(m *mach.Message) Uname {
	b := exactly(m, m.TakeData(5120), 5120)
	f := func(i int) string {
		s, _, _ := strings.Cut(string(b[i*1024:(i+1)*1024]), "\x00")
		return s
	}
	return Uname{f(0), f(1), f(2), f(3), f(4)}
}
