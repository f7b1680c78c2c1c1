package exec

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

const (
	pageSize = mach.PageSize
	pageMask = pageSize - 1
	// userTop is the end of a task's address space on i386.
	userTop = 0xc0000000

	// Bounds of what a file can ask for.
	maxHeaders  = 64 // program headers
	maxSegments = 32 // that are loaded
	maxInterp   = 1024

	headerSize = 52 // of an ELF header
	phentSize  = 32 // of a program header
)

// An image is what a program file asks for. Addresses of a program that can
// be anywhere are offsets from where it will be.
type image struct {
	dynamic  bool // can be anywhere
	entry    uint32
	phdr     uint32 // address of the program headers, 0 if they are not loaded
	phdrSize uint32
	interp   string // path of the dynamic loader
	execStk  bool   // the stack must be executable
	segments []segment
	lo, hi   uint32 // of all segments, in whole pages
}

// A segment is a range of memory: the n bytes at off of the file at addr, and
// zeros up to size.
type segment struct {
	addr, size, off, n uint32
	prot               mach.Prot
}

func (s segment) start() uint32 { return s.addr &^ pageMask }
func (s segment) end() uint32 {
	return uint32((uint64(s.addr) + uint64(s.size) + pageMask) &^ pageMask)
}

// A reader reads a file. It returns fewer bytes than asked for only at its
// end.
type reader interface {
	readAt(ctx context.Context, off uint32, n int) ([]byte, error)
	size() uint64
}

// bad is the error of a file that is no program for this machine.
func bad(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), proto.ENOEXEC)
}

// parse checks a program file, whose first bytes are head, and returns what
// it asks for.
func parse(ctx context.Context, f reader, head []byte) (*image, error) {
	le := binary.LittleEndian
	if len(head) < headerSize || string(head[:4]) != elf.ELFMAG {
		return nil, bad("no ELF file")
	}
	if elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS32 || elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB ||
		elf.Machine(le.Uint16(head[18:])) != elf.EM_386 {
		return nil, bad("a program for another machine")
	}
	img := &image{entry: le.Uint32(head[24:]), execStk: true}
	switch elf.Type(le.Uint16(head[16:])) {
	case elf.ET_EXEC:
	case elf.ET_DYN:
		img.dynamic = true
	default:
		return nil, bad("no program")
	}
	phoff, phnum := le.Uint32(head[28:]), uint32(le.Uint16(head[44:]))
	if le.Uint16(head[42:]) != phentSize || phnum == 0 || phnum > maxHeaders {
		return nil, bad("%d program headers of %d bytes", phnum, le.Uint16(head[42:]))
	}
	img.phdrSize = phnum * phentSize
	headers, err := slice(ctx, f, head, phoff, img.phdrSize)
	if err != nil {
		return nil, err
	}
	for i := range phnum {
		ph := headers[i*phentSize:]
		off, vaddr := le.Uint32(ph[4:]), le.Uint32(ph[8:])
		filesz, memsz, flags, align := le.Uint32(ph[16:]), le.Uint32(ph[20:]), elf.ProgFlag(le.Uint32(ph[24:])), le.Uint32(ph[28:])
		switch elf.ProgType(le.Uint32(ph)) {
		case elf.PT_INTERP:
			if filesz < 2 || filesz > maxInterp || img.interp != "" {
				return nil, bad("a strange dynamic loader")
			}
			b, err := slice(ctx, f, head, off, filesz)
			if err != nil {
				return nil, err
			}
			name, _, ok := bytes.Cut(b, []byte{0})
			if !ok || len(name) == 0 {
				return nil, bad("a strange dynamic loader")
			}
			img.interp = string(name)
		case elf.PT_GNU_STACK:
			img.execStk = flags&elf.PF_X != 0
		case elf.PT_LOAD:
			if memsz == 0 {
				continue
			}
			if filesz > memsz || uint64(off)+uint64(filesz) > f.size() {
				return nil, bad("segment %d is not in the file", i)
			}
			if align > 1 && align&(align-1) != 0 {
				return nil, bad("segment %d has alignment %d", i, align)
			}
			s := segment{addr: vaddr, size: memsz, off: off, n: filesz, prot: protection(flags)}
			if err := img.add(s); err != nil {
				return nil, err
			}
			if img.phdr == 0 && off <= phoff && uint64(phoff)+uint64(img.phdrSize) <= uint64(off)+uint64(filesz) {
				img.phdr = vaddr + phoff - off
			}
		}
	}
	for _, s := range img.segments {
		if s.prot&mach.ProtExec != 0 && s.addr <= img.entry && uint64(img.entry) < uint64(s.addr)+uint64(s.size) {
			if img.entry == 0 {
				break
			}
			return img, nil
		}
	}
	return nil, bad("its entry point %#x is in no executable segment", img.entry)
}

func (img *image) add(s segment) error {
	least := uint32(pageSize) // page 0 is nobody's
	if img.dynamic {
		least = 0
	}
	if s.start() < least || uint64(s.addr)+uint64(s.size) > userTop-pageSize {
		return bad("a segment at %#x of %d bytes", s.addr, s.size)
	}
	if len(img.segments) == maxSegments {
		return bad("more than %d segments", maxSegments)
	}
	for _, o := range img.segments {
		if s.start() < o.end() && o.start() < s.end() {
			return bad("segments overlap")
		}
	}
	if len(img.segments) == 0 {
		img.lo, img.hi = s.start(), s.end()
	}
	img.lo, img.hi = min(img.lo, s.start()), max(img.hi, s.end())
	img.segments = append(img.segments, s)
	return nil
}

func protection(f elf.ProgFlag) mach.Prot {
	var p mach.Prot
	if f&elf.PF_R != 0 {
		p |= mach.ProtRead
	}
	if f&elf.PF_W != 0 {
		p |= mach.ProtWrite
	}
	if f&elf.PF_X != 0 {
		p |= mach.ProtExec
	}
	return p
}

// slice returns n bytes at off of a file, of which the first are in head.
func slice(ctx context.Context, f reader, head []byte, off, n uint32) ([]byte, error) {
	if end := uint64(off) + uint64(n); end <= uint64(len(head)) {
		return head[off:end], nil
	}
	b, err := f.readAt(ctx, off, int(n))
	if err != nil {
		return nil, err
	}
	if len(b) < int(n) {
		return nil, bad("it ends before its headers")
	}
	return b[:n], nil
}

// private returns how much memory a program is likely to take that it does not
// share: what is writable and not zero, in bytes.
func (img *image) private() uint64 {
	var n uint64
	for _, s := range img.segments {
		if s.prot&mach.ProtWrite != 0 {
			n += uint64(s.n)
		}
	}
	return n
}

// A piece is a run of pages of a segment.
type piece struct {
	addr, size uint32 // of the pages
	how        how
	off        uint32 // of how mapped, in the file
	// Of how read: n bytes at off of the file go to the page at skip.
	skip, n uint32
}

type how int

const (
	mapped how = iota // pages of the file
	readIn            // a page that is put together
	zero
)

// pieces cuts a segment into pieces. Without mapping, nothing is mapped.
func (s segment) pieces(mapping bool) []piece {
	var list []piece
	mapping = mapping && (s.addr-s.off)&pageMask == 0
	from, end := s.start(), s.end()
	dataEnd := uint64(s.addr) + uint64(s.n)
	// The pages that are as they are in the file: not the first if it is
	// not whole, for what is before is not the segment's, and the last only
	// if nobody can tell what is after it.
	first, last := from, uint32(dataEnd)&^pageMask
	if s.addr&pageMask != 0 {
		first += pageSize
	}
	if s.prot&mach.ProtWrite == 0 && s.n == s.size {
		last = end
	}
	if !mapping || last < first {
		first, last = from, from
	}
	for at := from; at < end; {
		switch {
		case first < last && at == first:
			list = append(list, piece{addr: at, size: last - first, how: mapped, off: s.off + (at - s.addr)})
			at = last
		case uint64(at) >= dataEnd:
			list = append(list, piece{addr: at, size: end - at, how: zero})
			at = end
		default:
			lo := max(at, s.addr)
			hi := uint32(min(uint64(at)+pageSize, dataEnd))
			list = append(list, piece{addr: at, size: pageSize, how: readIn, off: s.off + (lo - s.addr), skip: lo - at, n: hi - lo})
			at += pageSize
		}
	}
	return list
}
