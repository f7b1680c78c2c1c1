// Pager-sim simulates a memory object and the kernels that use it: any number of
// operations, or one episode again.
//
//	pager-sim -ops 1e9 -seed 42
//	pager-sim -minutes 24
//	pager-sim -episode 0x2a17
//	pager-sim -explore -reads 2 -writes 2 -evicts 1
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"hurdlab/pager/coherence/sim"
)

func main() {
	ops := flag.Float64("ops", 1e6, "`operations` to do")
	minutes := flag.Float64("minutes", 0, "go on for so many `minutes` instead")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "`seed` of the first episode")
	check := flag.Int("check", 16, "check the object every `n` steps")
	episode := flag.Uint64("episode", 0, "do only the episode of this `seed`, with everything that happens")
	raw := flag.Bool("raw", false, "do not shrink a failure")
	script := flag.String("script", "", "do the operations of a `file`, in a world as -episode makes it")
	flag.Parse()
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
		fmt.Printf("seed %d\n", *seed)
		start := time.Now()
		done, n := 0, 0
		for ; *minutes > 0 && time.Since(start).Minutes() < *minutes || *minutes == 0 && float64(done) < *ops; n++ {
			k, f := sim.Episode(sim.EpisodeSeed(*seed, n), opt)
			if done += k; f != nil {
				fmt.Printf("after %d operations\n", done)
				fail(f, *raw)
			}
		}
		d := time.Since(start)
		fmt.Printf("seed %d: %d operations, %d episodes, %.1f minutes, %.0f operations/s\n", *seed, done, n, d.Minutes(), float64(done)/d.Seconds())
	}
}

func fail(f *sim.Failure, raw bool) {
	fmt.Println(f.Error())
	if !raw {
		f = sim.Shrink(f)
	}
	fmt.Printf("\n%s\n%+v\n\nwhat happens:\n%s\n\nscript, of %d operations:\n%s", f.Violation, f.Config.Object, sim.Explain(f), len(f.Ops), f.Script())
	os.Exit(1)
}
