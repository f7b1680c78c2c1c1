// Netmsg-sim simulates nodes of netmsg: any number of operations, or one
// episode again.
//
//	netmsg-sim -ops 1e9 -seed 42 -nodes 3
//	netmsg-sim -episode 0x2a17
package main

import (
	"flag"
	"fmt"
	"os"
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
	flag.Parse()

	opt := sim.Options{Nodes: *nodes, CheckEvery: *check}
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
