package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// A peer is a connection to a server of program tcp.
type peer struct{ net.Conn }

func dial(addr string, what byte) (peer, error) {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_, err = c.Write([]byte{what})
	}
	return peer{c}, err
}

// ask has it send n bytes.
func (p peer) ask(n int, buf []byte) (time.Duration, error) {
	start := time.Now()
	if _, err := p.Write(binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
		return 0, err
	}
	for n > 0 {
		k, err := p.Read(buf[:min(n, len(buf))])
		if err != nil {
			return 0, err
		}
		n -= k
	}
	return time.Since(start), nil
}

// echo sends buf and waits for it.
func (p peer) echo(buf []byte) (time.Duration, error) {
	start := time.Now()
	if _, err := p.Write(buf); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(p, buf)
	return time.Since(start), err
}

// A Bench is what bench prints. Times are medians in microseconds, rates in 10^6 bytes
// a second.
type Bench struct {
	Touch      float64 `json:"touch_us"`    // first touch of a page, which brings Cluster
	Cluster    int     `json:"cluster"`     // pages
	Page       float64 `json:"page_us"`     // a page, asked for over TCP
	Pages      float64 `json:"pages_us"`    // Cluster pages, likewise
	TouchRatio float64 `json:"touch_ratio"` // Touch / Pages
	PageRatio  float64 `json:"page_ratio"`  // Touch / Page
	Read       float64 `json:"read_mb_s"`   // reading the mapped file
	TCP        float64 `json:"tcp_mb_s"`    // as much over TCP
	ReadRatio  float64 `json:"read_ratio"`  // of the rates
	Again      float64 `json:"again_mb_s"`  // reading it once more
}

// cluster is how many pages come at once: package pager's default.
const cluster = 16

func bench(name, tcp string, touches int) error {
	b, _, err := mapFile(name, false)
	if err != nil {
		return err
	}
	from, err := dial(tcp, 'R')
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	r := Bench{Cluster: cluster}
	var touch, page, pages []time.Duration
	sum := byte(0)
	// The last pages first, so that nobody thinks that the file is being read; the first
	// touch of all opens it.
	sum += b[len(b)-1]
	for i := range touches {
		at := len(b) - (i+2)*2*cluster*pageSize
		if at < len(b)/2 {
			break
		}
		start := time.Now()
		sum += b[at]
		touch = append(touch, time.Since(start))
		for n, list := range map[int]*[]time.Duration{pageSize: &page, cluster * pageSize: &pages} {
			d, err := from.ask(n, buf)
			if err != nil {
				return err
			}
			*list = append(*list, d)
		}
	}
	r.Touch, r.Page, r.Pages = median(touch), median(page), median(pages)
	r.TouchRatio, r.PageRatio = r.Touch/r.Pages, r.Touch/r.Page
	// The first half, in pieces, each beside one of TCP.
	const piece = 1 << 20
	var mapped, raw time.Duration
	n := 0
	for ; n+piece <= len(b)/2; n += piece {
		start := time.Now()
		for at := n; at < n+piece; at += pageSize {
			sum += b[at]
		}
		mapped += time.Since(start)
		d, err := from.ask(piece, buf)
		if err != nil {
			return err
		}
		raw += d
	}
	start := time.Now()
	for at := 0; at < n; at += pageSize {
		sum += b[at]
	}
	r.Again = float64(n) / 1e6 / time.Since(start).Seconds()
	r.Read, r.TCP = float64(n)/1e6/mapped.Seconds(), float64(n)/1e6/raw.Seconds()
	r.ReadRatio = r.Read / r.TCP
	if sum == 1 {
		runtime.Gosched() // it is used
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func median(list []time.Duration) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return float64(list[len(list)/2].Nanoseconds()) / 1000
}

// A Turns is what turn prints. Times are in microseconds.
type Turns struct {
	Turns  int     `json:"turns"`     // both together, those that were measured
	Each   float64 `json:"each_us"`   // of one: the mean
	Median float64 `json:"median_us"` // of one: of pairs, by two
	Trip   float64 `json:"trip_us"`   // an echo of a page, while both nodes have nothing else to do: median
	Ratio  float64 `json:"ratio"`     // Each / Trip
}

const (
	// blockTurns is how many turns of one's own follow each other. Between blocks both rest, and
	// then there are blockEchoes echoes. The time runs from the second turn of a block:
	// until that the other may rest.
	blockTurns  = 17
	blockEchoes = 10
	// settle is how long the one who measures waits until the other rests, rest for how long
	// that does: for longer than the echoes take.
	settle = 100 * time.Millisecond
	rest   = time.Second
)

// turn writes the first word of a file at least n times, in blocks, each time after the other
// has: both try to write all the time. With tcp, it measures.
func turn(name string, me, n int, readFirst bool, tcp string) error {
	b, _, err := mapFile(name, true)
	if err != nil {
		return err
	}
	var p peer
	if tcp != "" {
		if p, err = dial(tcp, 'e'); err != nil {
			return err
		}
	}
	page := make([]byte, pageSize)
	var trips, pairs []time.Duration
	pause := func(time.Duration) error {
		if tcp == "" {
			return nil
		}
		for range blockEchoes {
			d, err := p.echo(page)
			if err != nil {
				return err
			}
			trips = append(trips, d)
		}
		return nil
	}
	if me != 0 {
		pause = func(d time.Duration) error {
			time.Sleep(d)
			return nil
		}
	}
	if err := pause(2 * rest); err != nil {
		return err
	}
	w, own := word(b, 0), word(b, 64*(1+me))
	// An emulated processor reads before it compares and swaps, and would ask for the page
	// twice: it writes first, unless told not to.
	wait := func(x uint32) {
		for {
			if !readFirst {
				*own = x // a store, and nothing else
			}
			if atomic.CompareAndSwapUint32(w, x, x+1) {
				return
			}
			runtime.Gosched()
		}
	}
	all := time.Duration(0)
	for i := 0; i < n; {
		var last time.Time
		for k := range blockTurns {
			wait(uint32(2*i + me))
			i++
			now := time.Now()
			if k > 1 {
				pairs = append(pairs, now.Sub(last))
				all += now.Sub(last)
			}
			last = now
		}
		if me == 0 {
			time.Sleep(settle)
		}
		if err := pause(rest); err != nil {
			return err
		}
	}
	if tcp == "" {
		fmt.Println("ok")
		return nil
	}
	r := Turns{Turns: 2 * len(pairs), Median: median(pairs) / 2, Trip: median(trips)}
	r.Each = float64(all.Nanoseconds()) / 1000 / float64(r.Turns)
	r.Ratio = r.Each / r.Trip
	return json.NewEncoder(os.Stdout).Encode(r)
}
