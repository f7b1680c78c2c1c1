// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "internal/runtime/atomic"

// The clock of the kernel goes in ticks, of 10 ms on a kernel for one
// processor, and to read it takes a call. So the time stamp counter of the
// processor is the clock here, and is steered towards the kernel's: its rate
// is measured over a few ticks at the start, and corrected from time to time,
// by what all the time since the start shows.
//
// Readers take the slot of the parity of gen; the one who steers fills the
// other one.
var clock struct {
	c0, u0   int64         // counter and kernel's clock right after a tick, at the start
	c1, u1   int64         // the same when ticks began to be missed
	missed1  int64         // missed then
	interval int64         // counts until the clock is steered again
	strikes  int           // how often in a row ticks were missed
	missed   int64         // ns that the kernel's clock has not noticed
	rate     uint64        // ns per count as far as known, with 32 bits of fraction
	busy     atomic.Uint32 // somebody steers
	gen      atomic.Uint32
	slot     [2]clockSlot
}

type clockSlot struct {
	base, ns int64  // counter, and clock then
	mult     uint64 // ns per count, with 32 bits of fraction
	wall     int64  // wall clock minus clock
}

const (
	// clockTick is the time between ticks, in ns.
	clockTick = 10 * nsPerMillisecond
	// clockSamples is the number of ticks of the first measurement.
	clockSamples = 4
	// clockSlew is the most that is corrected within a second, in ns.
	clockSlew = 5 * nsPerMillisecond
	// clockOften is how often in a second the clock is steered: so often
	// that ticks which are missed stand out.
	clockOften = 16
	// clockAllowed is by how much the clock may be ahead of the kernel's,
	// in ns, to be put down to the rate. There is another 1/64 of the time
	// since it was steered last.
	clockAllowed = 2 * nsPerMillisecond
	// clockStrikes is how often in a row ticks may be missed.
	clockStrikes = 8
)

// clockinit measures the counter against the clock of the kernel. It sleeps
// rather than spins: whoever sleeps wakes right after a tick, and programs
// that start together do not take the processor from each other.
//
// On a busy machine one wakes late, now and then. So several ticks are
// awaited, and the rate is that of the two that leave the others least late,
// and none of them early.
func clockinit() {
	var u, c [clockSamples]int64
	for i := range u {
		thread_switch(0, _SWITCH_OPTION_WAIT, 1)
		u[i], c[i] = clockSample()
	}
	const last = clockSamples - 1
	if u[last] <= u[0] || c[last] <= c[0] {
		throw("clockinit: the clock stands still")
	}
	tolerance := float64(c[last]-c[0]) / 2000
	first, rate, least := last, float64(0), float64(0)
	for i := range u {
	pair:
		for j := i + 1; j < clockSamples; j++ {
			if u[j] == u[i] {
				continue
			}
			perNs := float64(c[j]-c[i]) / float64(u[j]-u[i])
			sum := float64(0)
			for k := range u {
				late := float64(c[k]-c[i]) - perNs*float64(u[k]-u[i])
				if late < -tolerance {
					continue pair
				}
				sum += late
			}
			if rate == 0 || sum < least {
				first, rate, least = i, 1/perNs, sum
			}
		}
	}
	clock.c0, clock.u0 = c[first], u[first]
	clock.interval = int64(nsPerSecond / rate / clockOften)
	clock.rate = uint64(rate * (1 << 32))
	clock.slot[0] = clockSlot{clock.c0, clock.u0, clock.rate, clockWall()}
}

// clockSample reads the clock of the kernel and the counter at the same time:
// if the thread has to wait in between it tries again.
func clockSample() (u, c int64) {
	for range 10 {
		before := cputicks()
		u = uptime()
		c = cputicks()
		if again := uptime(); again == u {
			return u, before + (c-before)/2
		}
	}
	return u, c
}

// steer fills the next slot. The clock of the kernel says only between which
// ticks it is, so the rate is left alone as long as it is possible.
//
//go:nosplit
func (s *clockSlot) steer() {
	before := cputicks()
	u := uptime()
	after := cputicks() // perhaps much later
	u += clock.missed
	// By how much the clock is behind or, below zero, ahead.
	wrong := max(0, u-s.at(after)) + min(0, u+clockTick-s.at(before))
	// Ticks get lost but none is made up: the clock goes at least as fast
	// as the kernel's did at its fastest.
	rate := max(clock.rate, clockRate(u-clock.u0, after-clock.c0))
	if allowed := clockAllowed + (s.at(before)-s.ns)>>6; -allowed <= wrong {
		clock.strikes = 0
	} else {
		// More than the rate explains: the kernel has missed ticks,
		// because its machine stood still. Time went on regardless.
		if clock.strikes == 0 {
			clock.u1, clock.c1, clock.missed1 = u, before, clock.missed
		}
		clock.strikes++
		clock.missed -= wrong
		u -= wrong
		wrong = 0
		if clock.strikes > clockStrikes {
			// All the time? Then it is the rate after all.
			rate = min(rate, clockRate(u-(clock.missed-clock.missed1)+clockTick-clock.u1, before-clock.c1))
		}
	}
	rate = min(rate, clockRate(u+clockTick-clock.u0, before-clock.c0))
	clock.rate = rate
	// What is wrong is corrected slowly: half a percent.
	wrong = max(-clockSlew, min(wrong, clockSlew))
	mult := rate + uint64(int64(rate>>10)*wrong>>20) // 1<<30 ns are about a second

	wall := clockWall()
	if d := wall - s.wall; -2*clockTick < d && d < 2*clockTick {
		wall = s.wall // it was not set, only read before and after a tick
	}
	c := cputicks()
	g := clock.gen.Load()
	clock.slot[(g+1)&1] = clockSlot{c, s.at(c), mult, wall}
	clock.gen.Store(g + 1)
}

// clockWall returns what to add to the clock to have the kernel's time of day.
//
//go:nosplit
func clockWall() int64 {
	sec, ns := hostTime(idHostGetTime64)
	return sec*nsPerSecond + int64(ns) - uptime() - clock.missed
}

// clockRate returns ns/counts with 32 bits of fraction. In code that must not
// split the stack, on 386, neither / of 64 bits nor float64 will do.
//
//go:nosplit
func clockRate(ns, counts int64) uint64 {
	n, c := uint64(max(ns, 0)), uint64(max(counts, 1))
	for n >= 1<<43 {
		n >>= 1
		c >>= 1
	}
	q, _ := dodiv(n<<20, c)
	return q << 12
}

//go:nosplit
func (s *clockSlot) at(c int64) int64 {
	d := uint64(c - s.base)
	return s.ns + int64((d>>32)*s.mult+(d&0xffffffff)*s.mult>>32)
}

//go:nosplit
func clockNow() (ns, wall int64) {
	for {
		g := clock.gen.Load()
		s := clock.slot[g&1]
		if clock.gen.Load() != g {
			continue
		}
		c := cputicks()
		ns = s.at(c)
		if c-s.base > clock.interval && clock.busy.CompareAndSwap(0, 1) {
			s.steer()
			clock.busy.Store(0)
		}
		return ns, s.wall
	}
}

//go:nosplit
func nanotime1() int64 {
	ns, _ := clockNow()
	return ns
}

func walltime() (sec int64, nsec int32) {
	ns, wall := clockNow()
	ns += wall
	return ns / nsPerSecond, int32(ns % nsPerSecond)
}

// uptime is the monotonic clock of the kernel, in ns.
//
//go:nosplit
func uptime() int64 {
	sec, ns := hostTime(idHostGetUptime64)
	return sec*nsPerSecond + int64(ns)
}

//go:nosplit
func hostTime(id uint32) (sec int64, ns int32) {
	var m machMsg
	m.call(hostSelf, id)
	return m.getTime()
}

// nsToMs rounds up, and avoids / because that would split the stack.
//
//go:nosplit
func nsToMs(ns int64) uint32 {
	if ns >= machMaxMilliseconds*nsPerMillisecond {
		return machMaxMilliseconds
	}
	q, _ := dodiv(uint64(ns+nsPerMillisecond-1), nsPerMillisecond)
	return uint32(q)
}
