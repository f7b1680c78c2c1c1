package exec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hurdlab/images/mach/ports/portstest"
	"hurdlab/mach"
)

// A phdr is a loadable segment for program.
type phdr struct {
	off, vaddr, filesz, memsz, flags uint32
}

// program makes a program file of size bytes of noise with the segments.
func program(size int, entry uint32, loads ...phdr) []byte {
	b := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32() | 1)
	}
	le := binary.LittleEndian
	copy(b, "\x7fELF\x01\x01\x01")
	le.PutUint16(b[16:], 2) // executable
	le.PutUint16(b[18:], 3) // 386
	le.PutUint32(b[24:], entry)
	le.PutUint32(b[28:], 52)
	le.PutUint16(b[42:], 32)
	le.PutUint16(b[44:], uint16(len(loads)))
	for i, l := range loads {
		for j, v := range []uint32{1, l.off, l.vaddr, l.vaddr, l.filesz, l.memsz, l.flags, 4096} {
			le.PutUint32(b[52+32*i+4*j:], v)
		}
	}
	return b
}

// typical is what the Go linker makes: text with the headers, read-only data,
// data with zeros after it.
func typical() []byte {
	return program(0x9000, 0x8049000,
		phdr{0, 0x8048000, 0x3800, 0x3800, 5},
		phdr{0x4000, 0x804c000, 0x2000, 0x2000, 4},
		phdr{0x6000, 0x804e000, 0x2345, 0x9000, 6})
}

func TestParse(t *testing.T) {
	file := typical()
	img, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if img.entry != 0x8049000 || img.phdr != 0x8048034 || img.phdrSize != 96 || len(img.segments) != 3 || !img.execStk {
		t.Errorf("%+v", img)
	}
	if s := img.segments[2]; s.addr != 0x804e000 || s.size != 0x9000 || s.exec || !s.write || !s.read {
		t.Errorf("%+v", s)
	}
}

func TestParseRefuses(t *testing.T) {
	change := func(off int, v ...byte) []byte {
		b := typical()
		copy(b[off:], v)
		return b
	}
	ok := phdr{0, 0x8048000, 0x1000, 0x1000, 5}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, "no ELF"},
		"script":           {[]byte("#!/bin/sh\n" + strings.Repeat("x", 100)), "no ELF"},
		"64 bits":          {change(4, 2), "GOARCH=386"},
		"amd64":            {change(18, 62), "EM_X86_64"},
		"shared":           {change(16, 3), "fixed addresses"},
		"dynamic":          {change(52, 3), "dynamically"},
		"cut headers":      {typical()[:100], "headers"},
		"headers beyond":   {change(28, 0xff, 0xff, 0xff, 0xff), "headers"},
		"cut":              {typical()[:0x7000], "not in the file"},
		"entry in data":    {program(0x2000, 0x9000000, ok), "entry point"},
		"page 0":           {program(0x2000, 0x10, phdr{0, 0, 0x1000, 0x1000, 5}), "segment 0 is at"},
		"kernel":           {program(0x2000, 0xc0000000, phdr{0, 0xbffff000, 0x1000, 0x2000, 5}), "segment 0 is at"},
		"wraps":            {program(0x2000, 0xfffff000, phdr{0, 0xfffff000, 0x1000, 0x2000, 5}), "segment 0 is at"},
		"overlap":          {program(0x2000, 0x8048000, ok, phdr{0x1000, 0x8048800, 0x100, 0x100, 6}), "overlaps"},
		"file above mem":   {program(0x2000, 0x8048000, phdr{0, 0x8048000, 0x1001, 0x1000, 5}), "not in the file"},
		"huge file offset": {program(0x2000, 0x8048000, phdr{0xfffff000, 0x8048000, 0x1000, 0x1000, 5}), "not in the file"},
		"too many":         {program(0x2000, 0x8048000, slices.Repeat([]phdr{ok}, 40)...), "overlaps"},
	} {
		if _, err := parse(tt.file); !errors.Is(err, ErrNotProgram) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(typical())
	f.Fuzz(func(t *testing.T, file []byte) {
		img, err := parse(file)
		if err != nil {
			return
		}
		for _, s := range img.segments {
			if s.size < 1<<20 {
				s.pieces(file)
			}
		}
	})
}

// TestPieces loads segments into a model of memory and compares it with what
// the ELF standard says.
func TestPieces(t *testing.T) {
	for name, l := range map[string]phdr{
		"whole pages":             {0x1000, 0x8048000, 0x3000, 0x3000, 5},
		"partial last page":       {0x1000, 0x8048000, 0x2345, 0x8000, 7},
		"partial first page":      {0x1234, 0x8048234, 0x3000, 0x3000, 5},
		"within one page":         {0x1234, 0x8048234, 0x10, 0x20, 5},
		"not congruent":           {0x1010, 0x8048000, 0x3000, 0x3000, 5},
		"only zeros":              {0x1000, 0x8048000, 0, 0x3000, 7},
		"to the end of the file":  {0x6000, 0x8048000, 0x3000, 0x3000, 5},
		"partial at both ends":    {0x1ffc, 0x8048ffc, 0x2008, 0x4000, 5},
		"ends at a page boundary": {0x1800, 0x8048800, 0x1800, 0x4000, 5},
	} {
		file := program(0x9000, l.vaddr, l)
		img, err := parse(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := img.segments[0]
		got := make([]byte, s.size)
		shared := 0
		for _, p := range s.pieces(file) {
			if p.addr%pageSize != 0 || len(p.data)%pageSize != 0 || len(p.data) == 0 {
				t.Fatalf("%s: piece of %d bytes at %#x", name, len(p.data), p.addr)
			}
			if p.shared {
				shared += len(p.data)
			}
			copy(got[p.addr-s.addr:], p.data)
		}
		want := make([]byte, s.size)
		copy(want[l.vaddr-s.addr:], file[l.off:l.off+l.filesz])
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the memory differs", name)
		}
		if name == "whole pages" && shared != 0x3000 || name == "partial last page" && shared != 0x2000 {
			t.Errorf("%s: %#x bytes are shared", name, shared)
		}
	}
}

func TestStartup(t *testing.T) {
	img, err := parse(typical())
	if err != nil {
		t.Fatal(err)
	}
	s := &startup{img: img, stack: 0x20000, args: argz([]string{"prog", "", "x"}), env: argz([]string{"A=b"}),
		files: []mach.Port{11, 12, 13}, ports: []mach.Port{21, 22, 0, 24, 0, 0}, ints: initInts(0o22)}
	m, err := portstest.Call(s, execStartupGetInfo, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{0x8049000, 0x8048034, 96, 0x20000, stackSize} {
		if got := m.TakeWord(); got != want {
			t.Errorf("word %d: %#x, want %#x", i, got, want)
		}
	}
	if flags := m.TakeInt32(); flags != 0 {
		t.Errorf("flags %#x", flags)
	}
	if b := m.TakeData(-1); string(b) != "prog\x00\x00x\x00" {
		t.Errorf("argv %q", b)
	}
	if b := m.TakeData(-1); string(b) != "A=b\x00" {
		t.Errorf("envp %q", b)
	}
	if p, typ := m.TakeRights(-1); !slices.Equal(p, []mach.Port{11, 12, 13}) || typ != mach.MoveSend {
		t.Errorf("dtable %v %v", p, typ)
	}
	if p, typ := m.TakeRights(-1); !slices.Equal(p, []mach.Port{21, 22, 0, 24, 0, 0}) || typ != mach.MoveSend {
		t.Errorf("portarray %v %v", p, typ)
	}
	if x := m.TakeInt32s(-1); !slices.Equal(x, []int32{0o22, 0, 0, 0, 0}) {
		t.Errorf("intarray %v", x)
	}
	if err := m.End(); err != nil {
		t.Error(err)
	}
	// Once only.
	m, err = portstest.Call(s, execStartupGetInfo, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		m.TakeWord()
	}
	m.TakeInt32()
	m.TakeData(0)
	m.TakeData(0)
	m.TakeRights(0)
	m.TakeRights(0)
	m.TakeInt32s(0)
	if err := m.End(); err != nil {
		t.Errorf("second answer: %v", err)
	}
	if _, err := portstest.Call(s, 30501, nil); err != mach.MigBadID {
		t.Errorf("another routine: %v", err)
	}
}

func TestCheckArgs(t *testing.T) {
	if err := checkArgs([]string{"a", "b"}, []string{"C=d"}); err != nil {
		t.Error(err)
	}
	if err := checkArgs([]string{"a\x00b"}, nil); err == nil {
		t.Error("a zero byte was accepted")
	}
	if err := checkArgs([]string{strings.Repeat("a", maxArgs)}, nil); !errors.Is(err, mach.Errno(7)) {
		t.Errorf("too long: %v", err)
	}
}
