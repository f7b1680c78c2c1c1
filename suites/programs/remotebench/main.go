// Remotebench measures what calls and reads of a file cost, wherever its server is:
//
//	remotebench [-rounds N] [-bytes N] [-tcp ADDRESS] FILE...
//
// With the address of a server of program tcp, each call takes turns with an echo of
// 64 bytes over one TCP connection to it, so that what else the machines do
// changes both alike. That is what ratio is of.
//
//	remotebench [-rounds N] [-tls] -9p NODE DIRECTORY
//	remotebench [-tls] -serve DIRECTORY
//
// compares listing a mounted directory, and asking for the attributes of each file,
// with the same by 9P2000.L: NODE runs the second of these for the same directory. The
// two take turns. With -tls, 9P goes over netmsg's own transport, with its keys.
//
// For each file the first prints a line of JSON: the median time of io_get_openmodes, the
// smallest call there is, one at a time; calls a second with eight under way; and
// the rate at which the file is read in pieces of 128 KB, and again until so many
// bytes have been read.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
)

// A Result is what is printed of a file.
type Result struct {
	File  string  `json:"file"`
	Call  float64 `json:"call_us"`      // median of one at a time
	Best  float64 `json:"best_us"`      // of them
	TCP   float64 `json:"tcp_us"`       // median of the echoes
	Ratio float64 `json:"ratio"`        // of the medians
	Eight float64 `json:"eight_us"`     // time divided by calls, eight under way
	Rate  float64 `json:"read_mb_s"`    // 10^6 bytes a second
	Stat  float64 `json:"open_stat_us"` // open, stat and close by name
}

func main() {
	rounds := flag.Int("rounds", 500, "`calls` to measure")
	bytes := flag.Int64("bytes", 0, "`bytes` to read")
	tcp := flag.String("tcp", "", "`address` of a server of program tcp")
	nine := flag.String("9p", "", "`node` that serves the directory by 9P")
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
	for _, file := range flag.Args() {
		r, err := measure(context.Background(), file, *tcp, *rounds, *bytes)
		if err != nil {
			fmt.Fprintf(os.Stderr, "remotebench: %s: %v\n", file, err)
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(r)
	}
}

func measure(ctx context.Context, file, tcp string, rounds int, bytes int64) (*Result, error) {
	r := &Result{File: file}
	p, err := hurd.Self().Lookup(ctx, file, proto.O_READ, 0)
	if err != nil {
		return nil, err
	}
	echo := func() error { return nil }
	if tcp != "" {
		c, err := net.Dial("tcp", tcp)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if _, err := c.Write([]byte{'e'}); err != nil {
			return nil, err
		}
		b := make([]byte, 64)
		echo = func() error {
			if _, err := c.Write(b); err != nil {
				return err
			}
			_, err := io.ReadFull(c, b)
			return err
		}
	}
	times, echoes := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range times {
		start := time.Now()
		if err := echo(); err != nil {
			return nil, err
		}
		echoes[i] = time.Since(start)
		start = time.Now()
		if _, err := proto.IOGetOpenmodes(ctx, p); err != nil {
			return nil, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	r.Call, r.Best = us(times[rounds/2]), us(times[0])
	if tcp != "" {
		slices.Sort(echoes)
		r.TCP = us(echoes[rounds/2])
		r.Ratio = r.Call / r.TCP
	}

	const under = 8
	errs := make([]error, under)
	start := time.Now()
	var wg sync.WaitGroup
	for g := range under {
		wg.Go(func() {
			for range rounds / under {
				if _, err := proto.IOGetOpenmodes(ctx, p); err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	wg.Wait()
	r.Eight = us(time.Since(start)) / float64(rounds/under*under)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}

	start = time.Now()
	const stats = 50
	for range stats {
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
	}
	r.Stat = us(time.Since(start)) / stats

	if bytes > 0 {
		start, n, off := time.Now(), int64(0), int64(0)
		for n < bytes {
			b, err := proto.IORead(ctx, p, off, 128<<10)
			if err != nil {
				return nil, err
			}
			if len(b) == 0 {
				if off == 0 {
					return nil, fmt.Errorf("it is empty")
				}
				off = 0
				continue
			}
			n += int64(len(b))
			off += int64(len(b))
		}
		r.Rate = float64(n) / 1e6 / time.Since(start).Seconds()
	}
	return r, nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
