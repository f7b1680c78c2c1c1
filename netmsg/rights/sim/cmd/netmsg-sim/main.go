// Netmsg-sim simulates nodes of netmsg: any number of operations, or one
// episode again.
//
//	netmsg-sim -ops 1e9 -seed 42 -nodes 3
//	netmsg-sim -episode 0x2a17
//	netmsg-sim -explore -sends 3 -drops 1 -losses 1
//	netmsg-sim -script FILE        (operations, one a line, as a failure prints them)
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"hurdlab/netmsg/rights/sim"
)

func main() {
	ops := flag.Float64("ops", 1e6, "`operations` to do")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "`seed` of the first episode")
	nodes := flag.Int("nodes", 0, "`number` of nodes; 0: the seed decides")
	check := flag.Int("check", 16, "check the tables every `n` steps")
	episode := flag.Uint64("episode", 0, "do only the episode of this `seed`, with everything that happens")
	raw := flag.Bool("raw", false, "do not shrink a failure")
	explore := flag.Bool("explore", false, "try all orders of what three nodes can see, within the bounds that follow")
	var b sim.Bounds
	flag.IntVar(&b.Sends, "sends", 2, "messages")
	flag.IntVar(&b.Drops, "drops", 0, "rights dropped")
	flag.IntVar(&b.Deaths, "deaths", 0, "ports destroyed")
	flag.IntVar(&b.Losses, "losses", 0, "sessions lost")
	flag.IntVar(&b.Moves, "moves", 0, "receive rights moved")
	flag.IntVar(&b.Onces, "onces", 0, "send-once rights")
	flag.IntVar(&b.States, "states", 0, "give up after so many states; 0: never")
	script := flag.String("script", "", "do the operations of a `file`, in a world as -episode makes it")
	flag.Parse()
	if *explore {
		start := time.Now()
		e, f := sim.Explore(b, sim.Config{QueueLimit: 2, Window: 2, Budget: 1 << 20})
		fmt.Printf("%v: %v, %.1f s\n", b, e, time.Since(start).Seconds())
		if f != nil {
			fmt.Printf("\n%s\n\nwhat happens:\n%s\n\nscript:\n%s", f.Violation, sim.Explain(f), f.Script())
			os.Exit(1)
		}
		return
	}

	opt := sim.Options{Nodes: *nodes, CheckEvery: *check}
	if *script != "" {
		text, err := os.ReadFile(*script)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		f := &sim.Failure{Seed: *episode, Nodes: *nodes}
		f.Config, _ = sim.Scenario(*episode, *nodes)
		for line := range strings.Lines(string(text)) {
			o, err := sim.ParseOp(line)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			f.Ops = append(f.Ops, o)
		}
		fmt.Print(sim.Explain(f))
		if v := sim.Replay(f.Config, f.Ops); v != nil {
			fmt.Println(v)
			os.Exit(1)
		}
		return
	}
	if *episode != 0 {
		_, f := sim.Episode(*episode, opt)
		if f == nil {
			fmt.Println("nothing wrong")
			return
		}
		fail(f, *raw)
	}
	fmt.Printf("seed %d\n", *seed)
	start := time.Now()
	done, n := 0, 0
	for ; float64(done) < *ops; n++ {
		k, f := sim.Episode(sim.EpisodeSeed(*seed, n), opt)
		if done += k; f != nil {
			fail(f, *raw)
		}
	}
	d := time.Since(start)
	fmt.Printf("%d operations, %d episodes, %.0f operations/s\n", done, n, float64(done)/d.Seconds())
}

func fail(f *sim.Failure, raw bool) {
	fmt.Println(f.Error())
	if !raw {
		f = sim.Shrink(f)
	}
	fmt.Printf("\n%s\n%+v\n\nwhat happens:\n%s\n\nscript, of %d operations:\n%s", f.Violation, f.Config, sim.Explain(f), len(f.Ops), f.Script())
	os.Exit(1)
}
