// Pagebench uses files that are mapped, by several nodes at a time, and measures what
// that costs:
//
//	pagebench make -size N FILE                  a file whose words are their own numbers
//	pagebench cut -size N FILE                   make a file so long, with zeros
//	pagebench read FILE...                       read all pages, and check them
//	pagebench info FILE                          what its pager has done
//	pagebench do FILE                            commands from standard input, see do.go
//	pagebench turn -me 0|1 -n N FILE             write a word in turns with who is the other
//	pagebench bench -tcp ADDRESS FILE            measure first touches and a whole file, with TCP
//	pagebench clock ADDRESS                      serve the time, for soak
//	pagebench soak -clock ADDRESS FILE           read and write words at random, and say what was read
//
// Each measurement takes turns with one of TCP, by a server of program tcp, so that what
// else the machines do changes both alike.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"syscall"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
)

const pageSize = 4096

func main() {
	if len(os.Args) < 2 {
		fatal(fmt.Errorf("what is to be done? See the documentation of this program"))
	}
	verb, args := os.Args[1], os.Args[2:]
	f := flag.NewFlagSet(verb, flag.ExitOnError)
	var err error
	switch verb {
	case "make":
		size := f.Int("size", 1<<20, "`bytes`")
		f.Parse(args)
		err = makeFile(f.Arg(0), *size)
	case "cut":
		size := f.Int64("size", 0, "`bytes`")
		f.Parse(args)
		err = cut(f.Arg(0), *size)
	case "read":
		f.Parse(args)
		for _, file := range f.Args() {
			if err = readFile(file); err != nil {
				break
			}
		}
	case "info":
		f.Parse(args)
		err = info(f.Arg(0))
	case "do":
		f.Parse(args)
		err = do(f.Arg(0))
	case "turn":
		me, n := f.Int("me", 0, "which of the two"), f.Int("n", 100, "`turns` of one's own, at least")
		read := f.Bool("read", false, "read before each write")
		tcp := f.String("tcp", "", "`address` of a server of program tcp")
		f.Parse(args)
		err = turn(f.Arg(0), *me, *n, *read, *tcp)
	case "bench":
		tcp := f.String("tcp", "", "`address` of a server of program tcp")
		touches := f.Int("touches", 60, "`pages` to touch")
		f.Parse(args)
		err = bench(f.Arg(0), *tcp, *touches)
	case "clock":
		f.Parse(args)
		err = serveClock(f.Arg(0))
	case "soak":
		s := soaker{}
		f.StringVar(&s.clock, "clock", "", "`address` of the clock")
		f.DurationVar(&s.time, "time", 0, "how long")
		f.Uint64Var(&s.seed, "seed", 1, "of what is done")
		f.IntVar(&s.words, "words", 24, "`words`, in the pages of the file")
		f.Parse(args)
		err = s.run(f.Arg(0))
	default:
		err = fmt.Errorf("%q is no command", verb)
	}
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "pagebench:", err)
	os.Exit(1)
}

// mapFile maps a file.
func mapFile(name string, write bool) ([]byte, *os.File, error) {
	flags, prot := os.O_RDONLY, syscall.PROT_READ
	if write {
		flags, prot = os.O_RDWR, prot|syscall.PROT_WRITE
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), prot, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", name, err)
	}
	return b, f, nil
}

func makeFile(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for at := 0; at < size; at += len(b) {
		for i := 0; i < len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], uint32(at+i))
		}
		if _, err := f.Write(b[:min(len(b), size-at)]); err != nil {
			return err
		}
	}
	return f.Close()
}

// cut makes a file size bytes long. It need not be there yet.
func cut(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Close()
}

func readFile(name string) error {
	b, _, err := mapFile(name, false)
	if err != nil {
		return err
	}
	for i := 0; i+4 <= len(b); i += 1024 {
		if x := binary.LittleEndian.Uint32(b[i:]); x != uint32(i) {
			return fmt.Errorf("%s: %d at %d", name, x, i)
		}
	}
	fmt.Println("ok", len(b)/pageSize)
	return nil
}

func info(name string) error {
	ctx := context.Background()
	p, err := hurd.Self().Lookup(ctx, name, proto.O_READ, 0)
	if err != nil {
		return err
	}
	rd, _, err := proto.IOMap(ctx, p)
	if err != nil {
		return err
	}
	text, err := proto.PagerInfo(ctx, rd)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
