// Remotebench compares what calls, reads and writes of a file cost, wherever its server
// is, with TCP to the same node, and listing a directory with 9P:
//
//	remotebench -tcp ADDRESS [-calls N] [-bytes N] [-only WHAT] [-profile FILE] FILE
//	remotebench [-rounds N] [-tls] -9p NODE DIRECTORY
//	remotebench [-tls] -serve DIRECTORY
//
// At the address is a server of program tcp. FILE is written, and is there afterwards.
//
// All that is compared takes turns, so that what else the machines do changes both alike,
// and what is printed are medians: of single calls, or of rounds. One line of JSON
// says
//
//   - call: the time of io_get_openmodes, the smallest call there is, times that of an echo
//     of 64 bytes;
//   - eight: the rate of calls with eight under way, times that of one at a time; the same of
//     echoes, with eight connections;
//   - read, write: the rate at which the file is read and written in pieces of 1 MB, times
//     that at which TCP brings and takes as much; the same in pieces of 128 KB and
//     64 KB; and in pieces of 128 KB of which two are under way.
//
// The second compares listing a mounted directory, and asking for the attributes of each
// file, with the same by 9P2000.L: NODE runs the third for the same directory. The two
// take turns. With -tls, 9P goes over netmsg's own transport, with its keys.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Result is what is printed.
type Result struct {
	File string `json:"file"`

	Call      float64 `json:"call_us"`
	Echo      float64 `json:"echo_us"`
	CallRatio float64 `json:"call"`

	Eight     float64 `json:"eight"`
	EightEcho float64 `json:"eight_echo"`
	Calls     float64 `json:"calls_s"` // with eight under way

	In     float64 `json:"tcp_in_mb_s"` // 10^6 bytes a second
	Out    float64 `json:"tcp_out_mb_s"`
	Read   float64 `json:"read"`
	Write  float64 `json:"write"`
	Read2  float64 `json:"read_128k"`
	Write2 float64 `json:"write_128k"`
	Read3  float64 `json:"read_64k"`
	Write3 float64 `json:"write_64k"`
	Read4  float64 `json:"read_two"`
	Write4 float64 `json:"write_two"`
}

var only = flag.String("only", "", "measure only `what`: call, eight, read, write; or one or load, calls one at a time or eight and nothing else, to be profiled")

func main() {
	calls := flag.Int("calls", 400, "`calls` to measure")
	bytes := flag.Int64("bytes", 32<<20, "`bytes` to read and to write")
	tcp := flag.String("tcp", "", "`address` of a server of program tcp")
	profile := flag.String("profile", "", "`file` for a CPU profile")
	nine := flag.String("9p", "", "`node` that serves the directory by 9P")
	rounds := flag.Int("rounds", 500, "`rounds` of all files of a directory, at most")
	dir := flag.String("serve", "", "`directory` to serve by 9P")
	secure := flag.Bool("tls", false, "9P over netmsg's transport")
	flag.Parse()
	var err error
	switch {
	case *dir != "":
		err = serve(context.Background(), *dir, *secure)
	case *nine != "":
		if flag.NArg() != 1 {
			err = fmt.Errorf("want one directory, not %q", flag.Args())
			break
		}
		err = compare(context.Background(), flag.Arg(0), *nine, *secure, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "remotebench:", err)
		os.Exit(1)
	}
	if *dir != "" || *nine != "" {
		return
	}
	if flag.NArg() != 1 || *tcp == "" {
		fmt.Fprintln(os.Stderr, "usage: remotebench -tcp ADDRESS [-calls N] [-bytes N] FILE")
		os.Exit(2)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "remotebench:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	r, err := measure(context.Background(), flag.Arg(0), *tcp, *calls, *bytes)
	if err != nil {
		fmt.Fprintf(os.Stderr, "remotebench: %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

func measures(what string) bool { return *only == "" || strings.Contains(*only, what) }

func measure(ctx context.Context, file, tcp string, calls int, bytes int64) (*Result, error) {
	r := &Result{File: file}
	p, err := hurd.Self().Lookup(ctx, file, proto.O_READ|proto.O_WRITE|proto.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	if measures("call") {
		if err := r.call(ctx, p, tcp, calls); err != nil {
			return nil, err
		}
	}
	if measures("eight") {
		if err := r.eight(ctx, p, tcp, calls); err != nil {
			return nil, err
		}
	}
	if n := map[string]int{"one": 1, "load": under}[*only]; n > 0 {
		call := func() error { _, err := proto.IOGetOpenmodes(ctx, p); return err }
		r.Calls, err = rate(slices.Repeat([]func() error{call}, n), calls)
		return r, err
	}
	if bytes == 0 || !measures("read") && !measures("write") {
		return r, nil
	}
	return r, r.bulk(ctx, p, tcp, bytes)
}

func dial(tcp string, what byte) (net.Conn, error) {
	c, err := net.Dial("tcp", tcp)
	if err != nil {
		return nil, err
	}
	_, err = c.Write([]byte{what})
	return c, err
}

// echoes returns n functions that send 64 bytes and wait for them, each with a
// connection of its own.
func echoes(tcp string, n int) (list []func() error, err error) {
	for range n {
		c, err := dial(tcp, 'e')
		if err != nil {
			return nil, err
		}
		b := make([]byte, 64)
		list = append(list, func() error {
			if _, err := c.Write(b); err != nil {
				return err
			}
			_, err := io.ReadFull(c, b)
			return err
		})
	}
	return list, nil
}

func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return float64(time.Since(start).Nanoseconds()) / 1e3, err
}

func (r *Result) call(ctx context.Context, p mach.Port, tcp string, calls int) error {
	echo, err := echoes(tcp, 1)
	if err != nil {
		return err
	}
	var times, others []float64
	for range calls {
		d, err := timed(echo[0])
		if err != nil {
			return err
		}
		others = append(others, d)
		d, err = timed(func() error { _, err := proto.IOGetOpenmodes(ctx, p); return err })
		if err != nil {
			return err
		}
		times = append(times, d)
	}
	r.Call, r.Echo = median(times), median(others)
	r.CallRatio = r.Call / r.Echo
	return nil
}

// under is how many calls are under way.
const under = 8

func (r *Result) eight(ctx context.Context, p mach.Port, tcp string, calls int) error {
	echo, err := echoes(tcp, under)
	if err != nil {
		return err
	}
	call := func() error { _, err := proto.IOGetOpenmodes(ctx, p); return err }
	all := slices.Repeat([]func() error{call}, under)
	const rounds = 10
	n := max(calls/rounds/under, 1) * under
	var x [4][]float64
	for range rounds {
		for i, list := range [][]func() error{all[:1], all, echo[:1], echo} {
			v, err := rate(list, n)
			if err != nil {
				return err
			}
			x[i] = append(x[i], v)
		}
	}
	r.Calls = median(x[1])
	r.Eight, r.EightEcho = ratio(x[1], x[0]), ratio(x[3], x[2])
	return nil
}

// rate is that of n calls by those in list, in calls a second.
func rate(list []func() error, n int) (float64, error) {
	errs := make([]error, len(list))
	us, _ := timed(func() error {
		var wg sync.WaitGroup
		for i, f := range list {
			wg.Go(func() {
				for range n / len(list) {
					if errs[i] = f(); errs[i] != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		return nil
	})
	return float64(n) * 1e6 / us, errors.Join(errs...)
}

// ratio is the median of the quotients.
func ratio(a, b []float64) float64 {
	q := make([]float64, len(a))
	for i := range q {
		q[i] = a[i] / b[i]
	}
	return median(q)
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

func (r *Result) bulk(ctx context.Context, p mach.Port, tcp string, bytes int64) error {
	const rounds = 8
	size := bytes / rounds
	sink, err := dial(tcp, 'S')
	if err != nil {
		return err
	}
	source, err := dial(tcp, 'R')
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	out := func(int64) error {
		if err := binary.Write(sink, binary.BigEndian, uint64(size)); err != nil {
			return err
		}
		for left := size; left > 0; {
			n, err := sink.Write(buf[:min(left, 64<<10)])
			if err != nil {
				return err
			}
			left -= int64(n)
		}
		var got uint64
		return binary.Read(sink, binary.BigEndian, &got)
	}
	in := func(int64) error {
		if err := binary.Write(source, binary.BigEndian, uint64(size)); err != nil {
			return err
		}
		for left := size; left > 0; {
			n, err := source.Read(buf[:min(left, 64<<10)])
			if err != nil {
				return err
			}
			left -= int64(n)
		}
		return nil
	}
	write := func(piece int64) func(int64) error {
		return func(off int64) error {
			for left := size; left > 0; {
				n, err := proto.IOWrite(ctx, p, buf[:min(left, piece)], off)
				if err != nil {
					return err
				}
				off, left = off+int64(n), left-int64(n)
			}
			return nil
		}
	}
	read := func(piece int64) func(int64) error {
		return func(off int64) error {
			for left := size; left > 0; {
				b, err := proto.IORead(ctx, p, off, uint64(min(left, piece)))
				if err != nil {
					return err
				}
				if len(b) == 0 {
					return io.ErrUnexpectedEOF
				}
				off, left = off+int64(len(b)), left-int64(len(b))
			}
			return nil
		}
	}
	// two has size bytes from off on done in two pieces at a time.
	const half = 128 << 10 // what file systems of ours read at most
	two := func(do func(off, n int64) (int, error)) func(int64) error {
		return func(off int64) error {
			var next atomic.Int64
			var errs [2]error
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					for errs[i] == nil {
						at := next.Add(half) - half
						if at >= size {
							return
						}
						want := min(half, size-at)
						n, err := do(off+at, want)
						if err == nil && int64(n) < want {
							err = io.ErrUnexpectedEOF
						}
						errs[i] = err
					}
				})
			}
			wg.Wait()
			return errors.Join(errs[:]...)
		}
	}
	write2 := two(func(off, n int64) (int, error) {
		k, err := proto.IOWrite(ctx, p, buf[:n], off)
		return int(k), err
	})
	read2 := two(func(off, n int64) (int, error) {
		b, err := proto.IORead(ctx, p, off, uint64(n))
		return len(b), err
	})
	type what struct {
		do    func(int64) error
		times []float64
		way   string
	}
	list := []*what{{do: out, way: "write"}, {do: write(1 << 20), way: "write"}, {do: write(128 << 10), way: "write"}, {do: write(64 << 10), way: "write"}, {do: write2, way: "write"},
		{do: in, way: "read"}, {do: read(1 << 20), way: "read"}, {do: read(128 << 10), way: "read"}, {do: read(64 << 10), way: "read"}, {do: read2, way: "read"}}
	for i := range rounds {
		for _, w := range list {
			if !measures(w.way) {
				w.times = append(w.times, 1)
				continue
			}
			d, err := timed(func() error { return w.do(int64(i) * size) })
			if err != nil {
				return err
			}
			w.times = append(w.times, d)
		}
	}
	r.Out, r.In = float64(size)/median(list[0].times), float64(size)/median(list[5].times)
	for i, v := range []*float64{&r.Write, &r.Write2, &r.Write3, &r.Write4} {
		*v = ratio(list[0].times, list[1+i].times)
	}
	for i, v := range []*float64{&r.Read, &r.Read2, &r.Read3, &r.Read4} {
		*v = ratio(list[5].times, list[6+i].times)
	}
	return nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
