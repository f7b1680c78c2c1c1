package exec

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

const pageSize = 4096

// userTop is the end of a task's address space on i386.
const userTop = 0xc0000000

// maxSegments bounds the loadable segments of a program.
const maxSegments = 32

// ErrNotProgram says that a file cannot be run on a node.
var ErrNotProgram = errors.New("not a program for this node")

// An image is what a program file asks for.
type image struct {
	entry    uint32
	phdr     uint32 // address of the program headers, 0 if not mapped
	phdrSize uint32
	execStk  bool // the stack must be executable
	segments []segment
}

// A segment is a range of memory, in whole pages, and what goes there.
type segment struct {
	addr, size uint32 // multiples of pageSize
	// The contents: data[off:off+n] of the file at addr+skip; zeros around.
	skip, off, n      uint32
	read, write, exec bool
}

// parse checks a program file and returns what it asks for. Programs are
// static ELF files for i386 at fixed addresses, as the Go tool chain makes
// them.
func parse(data []byte) (*image, error) {
	le := binary.LittleEndian
	const ehsize, phentsize = 52, 32
	bad := func(format string, args ...any) (*image, error) {
		return nil, fmt.Errorf("%w: %s", ErrNotProgram, fmt.Sprintf(format, args...))
	}
	if len(data) < ehsize || string(data[:4]) != elf.ELFMAG {
		return bad("it is no ELF file; build programs with \"hurdlab go build\"")
	}
	class, order := elf.Class(data[elf.EI_CLASS]), elf.Data(data[elf.EI_DATA])
	typ, machine := elf.Type(le.Uint16(data[16:])), elf.Machine(le.Uint16(data[18:]))
	if class != elf.ELFCLASS32 || order != elf.ELFDATA2LSB || machine != elf.EM_386 {
		return bad("it is for %v, %v; build it with GOOS=hurd GOARCH=386", machine, class)
	}
	if typ != elf.ET_EXEC {
		return bad("type %v: only static programs at fixed addresses run here", typ)
	}
	img := &image{entry: le.Uint32(data[24:]), execStk: true}
	phoff, phnum := le.Uint32(data[28:]), le.Uint16(data[44:])
	if le.Uint16(data[42:]) != phentsize || uint64(phoff)+uint64(phnum)*phentsize > uint64(len(data)) {
		return bad("its program headers are damaged")
	}
	img.phdrSize = uint32(phnum) * phentsize
	for i := range uint32(phnum) {
		ph := data[phoff+i*phentsize:]
		off, vaddr := le.Uint32(ph[4:]), le.Uint32(ph[8:])
		filesz, memsz, flags := le.Uint32(ph[16:]), le.Uint32(ph[20:]), elf.ProgFlag(le.Uint32(ph[24:]))
		switch elf.ProgType(le.Uint32(ph)) {
		case elf.PT_INTERP:
			return bad("it is linked dynamically")
		case elf.PT_GNU_STACK:
			img.execStk = flags&elf.PF_X != 0
		case elf.PT_LOAD:
			if memsz == 0 {
				continue
			}
			if filesz > memsz || uint64(off)+uint64(filesz) > uint64(len(data)) {
				return bad("segment %d is not in the file: it is damaged or incomplete", i)
			}
			start, end := vaddr&^(pageSize-1), (uint64(vaddr)+uint64(memsz)+pageSize-1)&^(pageSize-1)
			if start < pageSize || end > userTop {
				return bad("segment %d is at %#x-%#x", i, vaddr, end)
			}
			if len(img.segments) == maxSegments {
				return bad("more than %d segments", maxSegments)
			}
			for _, s := range img.segments {
				if uint64(start) < uint64(s.addr)+uint64(s.size) && uint64(s.addr) < end {
					return bad("segment %d overlaps another", i)
				}
			}
			img.segments = append(img.segments, segment{
				addr: start, size: uint32(end - uint64(start)),
				skip: vaddr - start, off: off, n: filesz,
				read: flags&elf.PF_R != 0, write: flags&elf.PF_W != 0, exec: flags&elf.PF_X != 0,
			})
			if off <= phoff && phoff+img.phdrSize <= off+filesz {
				img.phdr = vaddr + phoff - off
			}
		}
	}
	for _, s := range img.segments {
		if s.exec && s.addr <= img.entry && img.entry < s.addr+s.size {
			return img, nil
		}
	}
	return bad("its entry point %#x is in no executable segment", img.entry)
}

// private returns how much memory a program is likely to take that it does not
// share: what is writable and not zero, in bytes.
func (img *image) private() uint64 {
	var n uint64
	for _, s := range img.segments {
		if s.write {
			n += uint64(s.n)
		}
	}
	return n
}

// A piece is a run of pages of a segment with contents from the file: either
// pages of the file as they are, which can be shared, or one page that is put
// together.
type piece struct {
	addr   uint32
	data   []byte // a multiple of pageSize
	shared bool   // data is part of the file
}

// pieces cuts the contents of s into pieces. file starts at the start of a
// page. What of s is in no piece is zero.
func (s segment) pieces(file []byte) []piece {
	var list []piece
	for at := uint32(0); at < s.skip+s.n; {
		// The file's bytes that belong to the page at s.addr+at.
		lo := max(at, s.skip)
		hi := min(at+pageSize, s.skip+s.n)
		if from := s.off + lo - s.skip; lo == at && from%pageSize == 0 && hi == at+pageSize {
			whole := (s.skip + s.n - at) &^ (pageSize - 1)
			list = append(list, piece{s.addr + at, file[from : from+whole : from+whole], true})
			at += whole
			continue
		}
		page := make([]byte, pageSize)
		copy(page[lo-at:], file[s.off+lo-s.skip:s.off+hi-s.skip])
		list = append(list, piece{s.addr + at, page, false})
		at += pageSize
	}
	return list
}
