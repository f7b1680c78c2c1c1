package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// tiny makes a program of a few machine instructions.
func tiny(t *testing.T, code ...byte) []byte {
	t.Helper()
	const base, headers = 0x8048000, 84
	file := program(headers+len(code), base+headers, phdr{0, base, uint32(headers + len(code)), 0x3000, 7})
	copy(file[headers:], code)
	b, err := vmem.Memory{}.Alloc(len(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vmem.Memory{}.Free(b) })
	copy(b, file)
	return b
}

func start1(t *testing.T, table *proc.Table, file []byte) *proc.Process {
	t.Helper()
	p, err := Start(table, new(ports.Kernel), Spec{File: file, Args: []string{"tiny"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(t *testing.T) int {
	t.Helper()
	n, _, err := mach.PortNames(mach.TaskSelf())
	if err != nil {
		t.Fatal(err)
	}
	return len(n)
}

func TestStart(t *testing.T) {
	table := proc.NewTable(proc.Mach{}, new(ports.Kernel))
	le := binary.LittleEndian
	for name, tt := range map[string]struct {
		code []byte
		want int
	}{
		"undefined instruction": {[]byte{0x0f, 0x0b}, proc.SIGILL},
		"divide by zero":        {[]byte{0x31, 0xc0, 0xf7, 0xf0}, proc.SIGFPE},
		"nil pointer":           {[]byte{0xa1, 0x10, 0, 0, 0}, proc.SIGSEGV},
		// mov 0x804a000,%eax; jmp *%eax: zeros after the file's contents.
		"beyond the contents": {append(append([]byte{0xa1}, le.AppendUint32(nil, 0x804a000)...), 0xff, 0xe0), proc.SIGSEGV},
		// push %ebp; jmp -1: to the guard page.
		"stack overflow": {[]byte{0x55, 0xeb, 0xfd}, proc.SIGSEGV},
	} {
		p := start1(t, table, tiny(t, tt.code...))
		<-p.Done()
		if st := p.Status(); st.Signal != tt.want {
			t.Errorf("%s: %v", name, st)
		}
	}
	// Two at once, from one file, for ever.
	file := tiny(t, 0xeb, 0xfe)
	a, b := start1(t, table, file), start1(t, table, file)
	if n := len(table.List()); n != 2 {
		t.Errorf("%d processes", n)
	}
	for _, p := range []*proc.Process{a, b} {
		if err := p.Kill(context.Background(), proc.SIGKILL); err != nil {
			t.Error(err)
		}
		<-p.Done()
		if st := p.Status(); st.Signal != proc.SIGKILL {
			t.Errorf("killed: %v", st)
		}
	}
}

// TestStartConsumesRights starts programs that end before they ask for their
// rights, and some that cannot be started.
func TestStartConsumesRights(t *testing.T) {
	table := proc.NewTable(proc.Mach{}, new(ports.Kernel))
	good, bad := tiny(t, 0x0f, 0x0b), []byte("#!/bin/sh")
	round := func(file []byte, want error) {
		var s Spec
		s.File, s.Args = file, []string{"tiny"}
		gone := make(chan bool)
		for range 3 {
			p, err := new(ports.Kernel).Export(mach.Routines{}, func() { gone <- true })
			if err != nil {
				t.Fatal(err)
			}
			s.Files = append(s.Files, p)
		}
		p, err := Start(table, new(ports.Kernel), s)
		if !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		if err == nil {
			<-p.Done()
		}
		for range 3 {
			<-gone
		}
	}
	round(good, nil) // what is made once
	before := names(t)
	for range 100 {
		round(good, nil)
		round(bad, ErrNotProgram)
	}
	if after := names(t); after > before+3 {
		t.Errorf("%d names before, %d after", before, after)
	}
}

func TestErrnoOfMemory(t *testing.T) {
	if !errors.Is(ErrNoMemory, hurdio.ENOMEM) {
		t.Error("ErrNoMemory is not ENOMEM")
	}
}
