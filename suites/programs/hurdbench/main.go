// Command hurdbench measures what a program pays for files and processes, in
// multiples of one null RPC in the same run: a call to the root file system
// that does nothing but answer (io_get_openmodes). Absolute times depend on
// the host; the multiples say how many messages an operation costs, and how
// much is done for each.
//
//	hurdbench [-n COUNT] [-dir DIR] [-spawn PROGRAM]
//
// It prints a line for each operation: its name, the time of the fastest of
// five rounds, and the multiple.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	n := flag.Int("n", 500, "operations in a round")
	dir := flag.String("dir", os.TempDir(), "where the file is")
	spawn := flag.String("spawn", "/bin/true", "the small program to start; empty for none")
	flag.Parse()
	if err := run(*n, *dir, *spawn); err != nil {
		fmt.Fprintln(os.Stderr, "hurdbench:", err)
		os.Exit(1)
	}
}

func run(n int, dir, spawn string) error {
	// In a directory of its own: the program itself may be in dir.
	dir, err := os.MkdirTemp(dir, "hurdbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 100), 0o644); err != nil {
		return err
	}
	null, done, err := nullRPC(file)
	if err != nil {
		return err
	}
	defer done()
	unit, err := measure(n, null)
	if err != nil {
		return err
	}
	report := func(name string, d time.Duration) {
		fmt.Printf("%-40s %12v %8.1f\n", name, d.Round(100*time.Nanosecond), float64(d)/float64(unit))
	}
	fmt.Printf("%-40s %12s %8s\n", "operation", "time", "null RPCs")
	report("null RPC", unit)
	buf := make([]byte, 4096)
	ops := []struct {
		name string
		n    int
		f    func() error
	}{
		{"stat", n, func() error { _, err := os.Stat(file); return err }},
		{"stat of what is not there", n, func() error { os.Stat(file + "-not"); return nil }},
		{"open and close", n, func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			return f.Close()
		}},
		{"open, read 100 bytes, close", n, func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.Read(buf)
			return err
		}},
		{"create, write 100 bytes, remove", n, func() error {
			f, err := os.Create(file + "-new")
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Write(buf[:100]); err != nil {
				return err
			}
			return os.Remove(file + "-new")
		}},
	}
	if spawn != "" {
		ops = append(ops, struct {
			name string
			n    int
			f    func() error
		}{"start " + spawn + " and wait", max(1, n/50), func() error { return exec.Command(spawn).Run() }})
	}
	for _, op := range ops {
		d, err := measure(op.n, op.f)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		report(op.name, d)
	}
	return nil
}

// measure returns the time of one call of f: the best of five rounds of n.
func measure(n int, f func() error) (time.Duration, error) {
	var best time.Duration
	for round := range 5 {
		start := time.Now()
		for range n {
			if err := f(); err != nil {
				return 0, err
			}
		}
		if d := time.Since(start) / time.Duration(n); round == 0 || d < best {
			best = d
		}
	}
	return best, nil
}
