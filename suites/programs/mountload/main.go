// Mountload uses files as the specs of suites/remote-mount want it:
//
//	mountload make -size N -seed S FILE     writes a file of random bytes
//	mountload check -size N -seed S FILE    reads it and compares
//	mountload tree -files N -depth D DIR    makes N files in a tree of that depth
//	mountload treecheck ...                 checks the tree, and prints ok
//	mountload append -n N -name NAME FILE   appends N lines, each with one write
//	mountload open -n N -at K FILE          opens, reads and closes it N times, K at a time
//	mountload together -n N FILE            opens it N times, reads from each, and closes all
//	mountload keep -n N FILE                opens it N times, says so in /tmp/held, waits for /tmp/go
//	mountload hold FILE                     opens it, says so in /tmp/held, waits for /tmp/go, prints it
//	mountload churn -n N -patient FILE      opens it N times, reads from each and closes all, until /tmp/go is there;
//	                                        prints how often, how many errors there were, and the longest time;
//	                                        ends at the first error unless it is patient
//	mountload list -n N DIR                 lists the directory and each file's attributes N times
//	mountload hello                         prints hello
//
// It knows nothing of mounts, so that the same runs on a local directory.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

type options struct {
	size        int64
	seed        uint64
	files, deep int
	n, at       int
	name        string
	patient     bool
}

func main() {
	if len(os.Args) < 2 {
		fatal(errors.New("usage: mountload VERB [FLAGS] FILE"))
	}
	var o options
	flags := flag.NewFlagSet("mountload", flag.ExitOnError)
	flags.Int64Var(&o.size, "size", 1<<20, "`bytes` of the file")
	flags.Uint64Var(&o.seed, "seed", 1, "of the random bytes")
	flags.IntVar(&o.files, "files", 100, "in the tree")
	flags.IntVar(&o.deep, "depth", 10, "of the tree")
	flags.IntVar(&o.n, "n", 100, "how often")
	flags.IntVar(&o.at, "at", 1, "how many at a time")
	flags.StringVar(&o.name, "name", "x", "at the beginning of lines")
	flags.BoolVar(&o.patient, "patient", false, "go on after errors")
	flags.Parse(os.Args[2:])
	file := flags.Arg(0)
	verbs := map[string]func(string, options) error{
		"make": makeFile, "check": check, "tree": tree, "treecheck": treeCheck, "append": appendLines, "open": open, "hold": hold, "churn": churn, "keep": keep,
		"together": func(file string, o options) error { return openMany(file, o.n, nil) },
		"list":     list,
		"hello":    func(string, options) error { _, err := fmt.Println("hello"); return err },
	}
	verb, ok := verbs[os.Args[1]]
	if !ok && len(os.Args) == 2 {
		// As a program that was copied elsewhere it has the name of that.
		verb, ok = verbs["hello"], true
	}
	if !ok {
		fatal(fmt.Errorf("there is no %q", os.Args[1]))
	}
	if err := verb(file, o); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mountload:", err)
	os.Exit(1)
}

// random is an endless reader of the bytes of a seed.
func random(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return rand.NewChaCha8(key)
}

func makeFile(file string, o options) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, random(o.seed), o.size); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func check(file string, o options) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	want := random(o.seed)
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := io.ReadFull(f, a)
		if _, werr := io.ReadFull(want, b[:n]); werr != nil {
			return werr
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return fmt.Errorf("%s differs within the %d bytes at %d", file, n, at)
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if at != o.size {
		return fmt.Errorf("%s has %d bytes, not %d", file, at, o.size)
	}
	return nil
}

// place is the name of file i of a tree: each level has its part of them.
func place(dir string, i int, o options) string {
	for d := range i % o.deep {
		dir = filepath.Join(dir, fmt.Sprintf("d%d", d))
	}
	return filepath.Join(dir, fmt.Sprintf("file%d", i))
}

func tree(dir string, o options) error {
	for i := range o.files {
		name := place(dir, i, o)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(fmt.Sprintf("this is file %d\n", i)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func treeCheck(dir string, o options) error {
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err != nil {
		return err
	}
	if found != o.files {
		return fmt.Errorf("%d files, not %d", found, o.files)
	}
	for i := range o.files {
		b, err := os.ReadFile(place(dir, i, o))
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("this is file %d\n", i); string(b) != want {
			return fmt.Errorf("file %d has %q", i, b)
		}
	}
	fmt.Println("ok")
	return nil
}

func appendLines(file string, o options) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	for i := range o.n {
		if _, err := fmt.Fprintf(f, "%s %d\n", o.name, i); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

func open(file string, o options) error {
	var left atomic.Int64
	left.Store(int64(o.n))
	errs := make([]error, max(o.at, 1))
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				errs[i] = openOne(file)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func openOne(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(f).ReadString('\n')
	return errors.Join(err, f.Close())
}

func hold(file string, o options) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.WriteFile("/tmp/held", []byte("open\n"), 0o644); err != nil {
		return err
	}
	for !told() {
		time.Sleep(50 * time.Millisecond)
	}
	_, err = io.Copy(os.Stdout, f)
	return err
}

// told reports whether it is said to go on, or to end.
func told() bool {
	_, err := os.Stat("/tmp/go")
	return err == nil
}

func churn(file string, o options) error {
	var rounds, failed int
	var longest time.Duration
	for !told() {
		start := time.Now()
		err := openMany(file, o.n, nil)
		longest = max(longest, time.Since(start))
		rounds++
		if err == nil {
			continue
		}
		failed++
		if !o.patient {
			return fmt.Errorf("round %d, after %v: %w", rounds, time.Since(start), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Printf("%d rounds, %d errors, longest %d ms\n", rounds, failed, longest.Milliseconds())
	return nil
}

func keep(file string, o options) error {
	return openMany(file, o.n, func() error {
		if err := os.WriteFile("/tmp/held", []byte("open\n"), 0o644); err != nil {
			return err
		}
		for !told() {
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})
}

// openMany opens a file n times, reads from each, does something if it is not nil, and
// closes all.
func openMany(file string, n int, do func() error) (err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
	}()
	for range n {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		open = append(open, f)
	}
	b := make([]byte, 16)
	for _, f := range open {
		if _, err := f.Read(b); err != nil {
			return err
		}
	}
	if do != nil {
		return do()
	}
	return nil
}

func list(dir string, o options) error {
	for range o.n {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, err := e.Info(); err != nil {
				return err
			}
		}
	}
	return nil
}
