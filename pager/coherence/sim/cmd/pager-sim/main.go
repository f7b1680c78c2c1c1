// Pager-sim simulates a memory object and the kernels that use it: any number of
// operations, or one episode again.
//
//	pager-sim -ops 1e9 -seed 42
//	pager-sim -minutes 24
//	pager-sim -episode 0x2a17
//	pager-sim -explore -reads 2 -writes 2 -evicts 1
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"hurdlab/pager/coherence"
	"hurdlab/pager/coherence/sim"
)

var quiet bool

func main() {
	ops := flag.Float64("ops", 1e6, "`operations` to do")
	minutes := flag.Float64("minutes", 0, "go on for so many `minutes` of processor time instead")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "`seed` of the first episode")
	check := flag.Int("check", 16, "check the object every `n` steps")
	episode := flag.Uint64("episode", 0, "do only the episode of this `seed`, with everything that happens")
	raw := flag.Bool("raw", false, "do not shrink a failure")
	flag.BoolVar(&quiet, "quiet", false, "do not say what happens in a failure")
	script := flag.String("script", "", "do the operations of a `file`, in a world as -episode makes it")
	explore := flag.Bool("explore", false, "try all orders of what kernels can do, within the bounds that follow")
	var b sim.Bounds
	flag.IntVar(&b.Reads, "reads", 2, "reads of pages")
	flag.IntVar(&b.Writes, "writes", 2, "writes")
	flag.IntVar(&b.Evicts, "evicts", 0, "evictions")
	flag.IntVar(&b.Unmaps, "unmaps", 0, "kernels that terminate")
	flag.IntVar(&b.Crashes, "crashes", 0, "kernels that die")
	flag.IntVar(&b.Syncs, "syncs", 0, "syncs")
	flag.IntVar(&b.Takes, "takes", 0, "takes")
	flag.IntVar(&b.Mutes, "mutes", 0, "kernels that do not answer")
	flag.IntVar(&b.Faults, "faults", 0, "loads and stores that fail, with -slow")
	flag.IntVar(&b.States, "states", 0, "give up after so many states; 0: never")
	kernels := flag.Int("kernels", 3, "kernels of an exploration")
	pages := flag.Int64("pages", 2, "pages of an exploration")
	weak := flag.Bool("weak", false, "messages arrive in any order")
	slow := flag.Bool("slow", false, "the store takes its time")
	cluster := flag.Int("cluster", 1, "pages supplied together")
	flag.Parse()
	if *explore {
		c := sim.Config{Kernels: *kernels, Pages: *pages, Instant: !*slow, Object: coherence.Config{Pages: *pages, Cluster: *cluster}}
		if *weak {
			c.Object.Order = coherence.Weak
		}
		if b.Mutes > 0 {
			c.Object.Answer = 100
		}
		start := time.Now()
		e, f := sim.Explore(b, c)
		fmt.Printf("%d kernels, %d pages, weak %v, slow %v, cluster %d; %v: %v, %.1f s\n", *kernels, *pages, *weak, *slow, *cluster, b, e, time.Since(start).Seconds())
		if f != nil {
			fmt.Printf("\n%s\n\nwhat happens:\n%s\n\nscript:\n%s", f.Violation, sim.Explain(f), f.Script())
			os.Exit(1)
		}
		return
	}
	opt := sim.Options{CheckEvery: *check}
	switch {
	case *script != "":
		text, err := os.ReadFile(*script)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		f := &sim.Failure{Seed: *episode}
		f.Config, _ = sim.Scenario(*episode)
		if f.Ops, err = sim.ParseScript(string(text)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(sim.Explain(f))
	case *episode != 0:
		if _, f := sim.Episode(*episode, opt); f != nil {
			fail(f, *raw)
		}
		fmt.Println("nothing wrong")
	default:
		explorer{seed: *seed, opt: opt, raw: *raw}.run(*minutes, *ops)
	}
}

// An explorer does one episode after the other.
type explorer struct {
	seed uint64
	opt  sim.Options
	raw  bool
}

// run goes on for so many minutes of processor time, or if that is 0, until so many operations
// are done, or until the program is told to end. It says each minute how far it is.
func (e explorer) run(minutes, ops float64) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	fmt.Printf("seed %d\n", e.seed)
	start := time.Now()
	done, n := 0, 0
	said := start
	say := func(what string) {
		fmt.Printf("seed %d: %s%d operations, %d episodes, %.1f minutes of processor time, %.0f operations/s\n",
			e.seed, what, done, n, cpuTime().Minutes(), float64(done)/time.Since(start).Seconds())
	}
	for more := true; more && ctx.Err() == nil; {
		k, f := sim.Episode(sim.EpisodeSeed(e.seed, n), e.opt)
		done += k
		n++
		if f != nil {
			say("a violation after ")
			fail(f, e.raw)
		}
		if time.Since(said) > time.Minute {
			said = time.Now()
			say("so far ")
		}
		if minutes > 0 {
			more = cpuTime().Minutes() < minutes
		} else {
			more = float64(done) < ops
		}
	}
	if ctx.Err() != nil {
		say("told to end, nothing wrong after ")
		return
	}
	say("nothing wrong in ")
}

// cpuTime returns how long this process has been running on processors.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func fail(f *sim.Failure, raw bool) {
	fmt.Println(f.Error())
	if quiet {
		os.Exit(1)
	}
	if !raw {
		f = sim.Shrink(f)
	}
	fmt.Printf("\n%s\n%+v\n\nwhat happens:\n%s\n\nscript, of %d operations:\n%s", f.Violation, f.Config.Object, sim.Explain(f), len(f.Ops), f.Script())
	os.Exit(1)
}
