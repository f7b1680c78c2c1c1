package boot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

// BenchmarkUp is the time from nothing to a lab whose nodes are all up.
func BenchmarkUp(b *testing.B) {
	for _, nodes := range []int{2, 8} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			for b.Loop() {
				l, err := harness.Start(b.Context(), lab.Spec{Name: "bench", Nodes: nodes})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Down(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkExec is a command that does nothing: builtin is the node's own,
// program is a program that is loaded and started as a task.
func BenchmarkExec(b *testing.B) {
	l := start(b, 1)
	for _, tc := range []struct{ name, command string }{{"builtin", "true"}, {"program", "hello"}} {
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				r, err := l.Node("node1").Run(b.Context(), tc.command)
				if err != nil || !r.Ok() {
					b.Fatal(r, err)
				}
			}
		})
	}
}

// BenchmarkTCP compares TCP between two nodes with the same program over
// this host's loopback, in the same run, and reports the ratios.
func BenchmarkTCP(b *testing.B) {
	l := start(b, 2)
	const rounds, size = 300, 16 << 20
	var node, host tcpResult
	n := 0
	for b.Loop() {
		r, err := benchTCP(b.Context(), l, rounds, size)
		if err != nil {
			b.Fatal(err)
		}
		h, err := benchHostTCP(b.Context(), b.TempDir(), rounds, size)
		if err != nil {
			b.Fatal(err)
		}
		node.RTT, node.Rate = node.RTT+r.RTT, node.Rate+r.Rate
		host.RTT, host.Rate = host.RTT+h.RTT, host.Rate+h.Rate
		n++
	}
	b.ReportMetric(0, "ns/op") // the whole of it means nothing
	b.ReportMetric(node.RTT/float64(n), "node-rtt-µs")
	b.ReportMetric(node.RTT/host.RTT, "rtt-to-host")
	b.ReportMetric(node.Rate/float64(n), "node-MB/s")
	b.ReportMetric(host.Rate/node.Rate, "host-rate-to-node")
}

func start(b *testing.B, nodes int) *lab.Lab {
	b.Helper()
	l, err := harness.Start(b.Context(), lab.Spec{Name: "bench", Nodes: nodes})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		// b.Context is over by now.
		if err := l.Down(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if err := harness.Install(b.Context(), l, programs); err != nil {
		b.Fatal(err)
	}
	return l
}

// benchHostTCP measures TCP between two processes of this host.
func benchHostTCP(ctx context.Context, dir string, rounds, size int) (r tcpResult, err error) {
	program, err := harness.BuildHost(ctx, dir, "hurdlab/suites/programs/tcp")
	if err != nil {
		return r, err
	}
	defer os.Remove(filepath.Join(dir, "tcp"))
	ctx, cancel := context.WithCancel(ctx)
	serve := exec.CommandContext(ctx, program, "serve", "127.0.0.1:0")
	out, err := serve.StdoutPipe()
	if err != nil {
		cancel()
		return r, err
	}
	if err := serve.Start(); err != nil {
		cancel()
		return r, err
	}
	defer func() { cancel(); serve.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return r, err
	}
	addr := strings.TrimSpace(strings.TrimPrefix(line, "serving on "))
	bench := exec.CommandContext(ctx, program, "-rounds", fmt.Sprint(rounds), "-bytes", fmt.Sprint(size), "bench", addr)
	var stderr bytes.Buffer
	bench.Stderr = &stderr
	b, err := bench.Output()
	if err != nil {
		return r, fmt.Errorf("tcp bench on this host: %w: %s", err, stderr.String())
	}
	return r, json.Unmarshal(b, &r)
}
