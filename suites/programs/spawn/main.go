// Spawn starts a program again and again, some at a time, and waits for each:
//
//	spawn [-n 1000] [-p 4] PROGRAM [ARGUMENT...]
//
// It prints how many ended well and how long that took, as JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	n := flag.Int("n", 1000, "how many")
	parallel := flag.Int("p", 4, "how many at a time")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: spawn [-n N] [-p N] PROGRAM [ARGUMENT...]")
		os.Exit(2)
	}
	var left atomic.Int64
	var ok atomic.Int64
	left.Store(int64(*n))
	begun := time.Now()
	var wg sync.WaitGroup
	var first sync.Once
	for range *parallel {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				out, err := exec.Command(flag.Arg(0), flag.Args()[1:]...).CombinedOutput()
				if err == nil {
					ok.Add(1)
					continue
				}
				first.Do(func() { fmt.Fprintf(os.Stderr, "%v\n%s", err, out) })
			}
		})
	}
	wg.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{"ok": ok.Load(), "seconds": time.Since(begun).Seconds()})
}
