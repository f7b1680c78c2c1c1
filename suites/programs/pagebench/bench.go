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
	Turns     int     `json:"turns"`   // both together, those that were measured
	Each      float64 `json:"each_us"` // of one: the median of pairs, by two
	Mean      float64 `json:"mean_us"`
	Trip      float64 `json:"trip_us"` // an echo of a page, between the turns: median
	Idle      float64 `json:"idle_us"` // before and after all turns, likewise
	Ratio     float64 `json:"ratio"`   // Each / Trip
	MeanRatio float64 `json:"mean_ratio"`
	IdleRatio float64 `json:"idle_ratio"` // Each / Idle
}

const (
	// echoTurns is after how many turns of one's own there are echoes, and turnEchoes how many.
	echoTurns  = 8
	turnEchoes = 4
)

// turn writes the first word of a file n times, each time after the other has: both try to
// write all the time. With tcp, it measures.
func turn(name string, me, n int, readFirst bool, tcp string) error {
	b, _, err := mapFile(name, true)
	if err != nil {
		return err
	}
	var p peer
	page := make([]byte, pageSize)
	echoes := func(list *[]time.Duration, n int) error {
		for range n {
			d, err := p.echo(page)
			if err != nil {
				return err
			}
			*list = append(*list, d)
		}
		return nil
	}
	var idle, trips, pairs []time.Duration
	if tcp != "" {
		if p, err = dial(tcp, 'e'); err != nil {
			return err
		}
		if err := echoes(&idle, 20); err != nil {
			return err
		}
	}
	w, own := word(b, 0), word(b, 64*(1+me))
	// The first turn waits for the other to be there. An emulated processor reads before
	// it compares and swaps, and would ask for the page twice: it writes first, unless told
	// not to.
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
	wait(uint32(me))
	last := time.Now()
	for i := 1; i < n; i++ {
		wait(uint32(2*i + me))
		if tcp == "" {
			continue
		}
		now := time.Now()
		if i%echoTurns != 1 || i == 1 {
			pairs = append(pairs, now.Sub(last))
		}
		last = now
		if i%echoTurns == 0 {
			// Meanwhile the other takes the page, and its turn: so the next one is not
			// counted, since half of it is past.
			if err := echoes(&trips, turnEchoes); err != nil {
				return err
			}
		}
	}
	if tcp == "" {
		fmt.Println("ok")
		return nil
	}
	if err := echoes(&idle, 20); err != nil {
		return err
	}
	r := Turns{Turns: 2 * len(pairs), Each: median(pairs) / 2, Trip: median(trips), Idle: median(idle)}
	for _, d := range pairs {
		r.Mean += float64(d.Nanoseconds()) / 1000 / float64(r.Turns)
	}
	r.Ratio, r.MeanRatio, r.IdleRatio = r.Each/r.Trip, r.Mean/r.Trip, r.Each/r.Idle
	return json.NewEncoder(os.Stdout).Encode(r)
}
