// Rexecbench measures what it costs to run a program on another node:
//
//	rexecbench [-rounds N] NODE PROGRAM [ARGUMENT...]
//
// Each round starts the program here, by rexec on the node, and here again from the node's
// files (/n/NODE/PROGRAM), so that what else the machines do changes all alike. After each it
// makes round trips to a file of the node: what a start leaves to be done, on both nodes, is
// not the next one's. It prints the medians as JSON, and two ratios:
// that of rexec to three local starts and four round trips; and that of a program
// of the other node's, run here once more, to a local one.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
)

// A Result is what is printed. Times are in milliseconds.
type Result struct {
	Local     float64 `json:"local_ms"`       // start of the program here, to its end
	Rexec     float64 `json:"rexec_ms"`       // by rexec
	RexecThis float64 `json:"rexec_here_ms"`  // by rexec on this node: two starts
	Remote    float64 `json:"remote_file_ms"` // here, from the node's files
	FirstRun  float64 `json:"first_rexec_ms"` // the first rexec
	FirstFile float64 `json:"first_file_ms"`  // the first run from the node's files
	Trip      float64 `json:"round_trip_ms"`  // the smallest call, there and back
	Ratio     float64 `json:"rexec_ratio"`    // Rexec / (3 Local + 4 Trip)
	FileRatio float64 `json:"file_ratio"`     // Remote / Local
	Rounds    int     `json:"rounds"`
}

// tripsEach is how many round trips follow each start.
const tripsEach = 4

func main() {
	rounds := flag.Int("rounds", 15, "`rounds` to measure")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: rexecbench [-rounds N] NODE PROGRAM [ARGUMENT...]")
		os.Exit(2)
	}
	r, err := measure(context.Background(), flag.Arg(0), flag.Args()[1:], *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "rexecbench:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

func measure(ctx context.Context, node string, prog []string, rounds int) (*Result, error) {
	path, err := exec.LookPath(prog[0])
	if err != nil {
		return nil, err
	}
	rexec, err := exec.LookPath("rexec")
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	there := "/n/" + node + path
	file, err := hurd.Self().Lookup(ctx, there, proto.O_READ, 0)
	if err != nil {
		return nil, err
	}
	run := func(argv ...string) (float64, error) {
		start := time.Now()
		c := exec.Command(argv[0], argv[1:]...)
		c.Stderr = os.Stderr
		if err := c.Run(); err != nil {
			return 0, fmt.Errorf("%q: %w", argv, err)
		}
		return ms(time.Since(start)), nil
	}
	args := prog[1:]
	kinds := [][]string{
		append([]string{path}, args...),
		append([]string{rexec, node, path}, args...),
		append([]string{there}, args...),
		append([]string{rexec, name, path}, args...),
	}
	times := make([][]float64, len(kinds))
	r := &Result{Rounds: rounds}
	// Once each, to have it all there.
	for i, k := range kinds {
		t, err := run(k...)
		if err != nil {
			return nil, err
		}
		switch i {
		case 1:
			r.FirstRun = t
		case 2:
			r.FirstFile = t
		}
	}
	var trips []float64
	for range rounds {
		for i, k := range kinds {
			t, err := run(k...)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], t)
			for k := range tripsEach {
				start := time.Now()
				if _, err := proto.IOGetOpenmodes(ctx, file); err != nil {
					return nil, err
				}
				if k > 0 { // the first one waits for what the start has left
					trips = append(trips, ms(time.Since(start)))
				}
			}
		}
	}
	r.Local, r.Rexec, r.Remote, r.RexecThis, r.Trip = median(times[0]), median(times[1]), median(times[2]), median(times[3]), median(trips)
	r.Ratio = r.Rexec / (3*r.Local + 4*r.Trip)
	r.FileRatio = r.Remote / r.Local
	return r, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
