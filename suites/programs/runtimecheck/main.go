// Runtimecheck tries what the Go runtime promises: goroutines and channels,
// collected garbage, timers, preemption of loops, faults that become panics.
// It prints a line for each and exits with status 1 if one does not hold.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	failed := false
	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"goroutines", goroutines},
		{"garbage", garbage},
		{"timers", timers},
		{"preemption", preemption},
		{"faults", faults},
		{"threads", threads},
	} {
		err := c.f()
		if err != nil {
			failed = true
			fmt.Printf("%s: FAIL: %v\n", c.name, err)
			continue
		}
		fmt.Printf("%s: ok\n", c.name)
	}
	if failed {
		os.Exit(1)
	}
}

// goroutines passes a token around a ring of them.
func goroutines() error {
	const size, rounds = 1000, 20
	first := make(chan int)
	last := first
	for range size {
		in, out := last, make(chan int)
		go func() {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}()
		last = out
	}
	for i := range rounds {
		first <- i
		if got := <-last; got != i+size {
			return fmt.Errorf("round %d: %d, want %d", i, got, i+size)
		}
	}
	close(first)
	<-last
	return nil
}

// garbage makes much more of it than the node has memory.
func garbage() error {
	var keep [16][]byte
	for i := range 4000 {
		b := make([]byte, 64<<10)
		b[0], b[len(b)-1] = byte(i), byte(i)
		keep[i%len(keep)] = b
	}
	for i, b := range keep {
		if b[0] != b[len(b)-1] {
			return fmt.Errorf("block %d changed", i)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.NumGC == 0 {
		return errors.New("no collection in 250 MB of garbage")
	}
	return nil
}

// timers fire in the order of their times, and not before.
func timers() error {
	start := time.Now()
	fired := make(chan int, 3)
	for i, d := range []time.Duration{90, 30, 60} {
		time.AfterFunc(d*time.Millisecond, func() { fired <- i })
	}
	for _, want := range []int{1, 2, 0} {
		if got := <-fired; got != want {
			return fmt.Errorf("timer %d fired, want %d", got, want)
		}
	}
	if d := time.Since(start); d < 90*time.Millisecond {
		return fmt.Errorf("90 ms were over after %v", d)
	}
	return nil
}

// preemption: a loop without calls must not keep the world from stopping.
func preemption() error {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if stop.Load() {
					return
				}
			}
		})
	}
	runtime.Gosched()
	runtime.GC()
	stop.Store(true)
	wg.Wait()
	return nil
}

var zero int

func faults() error {
	for name, f := range map[string]func(){
		"nil dereference": func() { *(*int)(nil) = 1 },
		"divide by zero":  func() { zero = 1 / zero },
		"index":           func() { zero = make([]int, zero)[zero] },
	} {
		for range 100 {
			if err := caught(f); err == nil {
				return fmt.Errorf("%s: no panic", name)
			}
			zero = 0
		}
	}
	return nil
}

func caught(f func()) (err error) {
	defer func() {
		if e, ok := recover().(runtime.Error); ok {
			err = e
		}
	}()
	f()
	return nil
}

// threads: goroutines that end locked to their threads end these too.
func threads() error {
	for range 20 {
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				runtime.LockOSThread()
				runtime.Gosched()
			})
		}
		wg.Wait()
	}
	return nil
}
