package boot

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

var boots = flag.Int("boots", 0, "how many boots in a row TestBootsInARow asks for")

// TestBootsInARow boots a node again and again. A boot that fails is kept:
// the error names the bundle.
func TestBootsInARow(t *testing.T) {
	if *boots == 0 {
		t.Skip("a soak test: ask for it with -boots N")
	}
	l, err := harness.Start(t.Context(), lab.Spec{Name: "row", Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	node := l.Nodes()[0]
	var slowest time.Duration
	for i := 1; i <= *boots; i++ {
		start := time.Now()
		fatalf := func(format string, args ...any) {
			t.Helper()
			file, err := l.Bundle(t.Context(), "")
			t.Fatalf("boot %d: %s (bundle: %s %v)", i, fmt.Sprintf(format, args...), file, err)
		}
		if err := node.Restart(t.Context()); err != nil {
			fatalf("%v", err)
		}
		slowest = max(slowest, time.Since(start))
		if r, err := node.Run(t.Context(), "echo", "up"); err != nil || r.Stdout != "up\n" {
			fatalf("echo up: %q, %v, %v", r.Stdout, r.Exit, err)
		}
		if i%20 == 0 {
			t.Logf("%d boots, the slowest in %v", i, slowest)
		}
	}
	if found, err := l.CheckConsoles(nil); err != nil || len(found) > 0 {
		t.Errorf("consoles: %v %v", found, err)
	}
}
