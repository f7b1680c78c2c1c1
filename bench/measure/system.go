package measure

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hurdlab/bench"
	"hurdlab/lab/programs"
)

// The parts net, fs and page gather what the programs of the suites boot, hurd,
// remote-mount and remote-exec say, each several times.

// besideTCP measures while program tcp serves on node2.
func besideTCP(f func(m *measuring, ctx context.Context, addr string) error) func(*measuring, context.Context) error {
	return func(m *measuring, ctx context.Context) error {
		stop, err := m.serve(ctx, 2, "tcp", "serve", fmt.Sprintf(":%d", tcpPort))
		if err != nil {
			return err
		}
		defer stop()
		return f(m, ctx, fmt.Sprintf("node2:%d", tcpPort))
	}
}

var netPart = Part{
	Name: "net", Title: "messages, calls and data between nodes, beside TCP", MemoryMB: 192, Least: 2,
	Programs: []string{"hurdlab/suites/programs/tcp", "hurdlab/suites/programs/remotebench"},
	measure:  besideTCP((*measuring).net),
}

func (m *measuring) net(ctx context.Context, addr string) error {
	m.part.Notes = append(m.part.Notes, "The nodes of a lab speak TLS to each other. Without it a call is to be at most 1.5 echoes, and reading and writing 0.7 of TCP's rate: docs/netmsg.md.")
	rounds := m.turns(1, 5)
	if err := m.tcp(ctx, addr, rounds); err != nil {
		return err
	}
	// The program takes turns by itself: its ratios are those of its turns.
	var r struct {
		Call      float64 `json:"call_us"`
		Echo      float64 `json:"echo_us"`
		CallRatio float64 `json:"call"`
		Eight     float64 `json:"eight"`
		EightEcho float64 `json:"eight_echo"`
		In        float64 `json:"tcp_in_mb_s"`
		Out       float64 `json:"tcp_out_mb_s"`
		Read      float64 `json:"read"`
		Write     float64 `json:"write"`
		Read64    float64 `json:"read_64k"`
		Write64   float64 `json:"write_64k"`
	}
	all := newCollection(m.part)
	for range rounds {
		if err := m.json(ctx, &r, 1, "remotebench", "-calls", fmt.Sprint(m.pick(16, 200)), "-bytes", fmt.Sprint(m.pick(1<<20, 8<<20)), "-tcp", addr, "/n/node2/tmp/remotebench"); err != nil {
			return err
		}
		all.series("call", "ns", r.Call*1e3)
		all.series("echo", "ns", r.Echo*1e3)
		all.series("tcp-in", "B/s", r.In*1e6)
		all.series("tcp-out", "B/s", r.Out*1e6)
		all.ratio("a call to another node, times an echo over TCP", bench.AtMost(1.8), r.CallRatio)
		all.ratio("eight calls at a time, times the rate of one", bench.AtLeast(4), r.Eight)
		all.ratio("eight echoes at a time, times the rate of one", nil, r.EightEcho)
		all.ratio("reading, 1 MB a call, times the rate of TCP", nil, r.Read)
		all.ratio("writing, 1 MB a call, times the rate of TCP", nil, r.Write)
		all.ratio("reading, 64 KB a call, times the rate of TCP", nil, r.Read64)
		all.ratio("writing, 64 KB a call, times the rate of TCP", nil, r.Write64)
	}
	return nil
}

// tcp compares TCP between two nodes with the same program over this host's loopback.
func (m *measuring) tcp(ctx context.Context, addr string, rounds int) error {
	dir, err := os.MkdirTemp("", "hurdlab-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := programs.BuildHost(ctx, dir, "hurdlab/suites/programs/tcp")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	serve := exec.CommandContext(ctx, program, "serve", "127.0.0.1:0")
	defer serve.Wait()
	defer cancel()
	out, err := serve.StdoutPipe()
	if err != nil {
		return err
	}
	if err := serve.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	here := strings.TrimSpace(strings.TrimPrefix(line, "serving on "))
	type result struct {
		RTT  float64 `json:"rtt_us"`
		Rate float64 `json:"mb_per_s"`
	}
	all := newCollection(m.part)
	for range rounds {
		var node, host result
		args := []string{"-rounds", fmt.Sprint(m.pick(20, 200)), "-bytes", fmt.Sprint(m.pick(1<<20, 8<<20)), "bench"}
		if err := m.json(ctx, &node, 1, append(append([]string{"tcp"}, args...), addr)...); err != nil {
			return err
		}
		b, err := exec.CommandContext(ctx, program, append(args, here)...).Output()
		if err != nil {
			return fmt.Errorf("tcp bench on this host: %w", err)
		}
		if err := json.Unmarshal(b, &host); err != nil {
			return err
		}
		all.series("tcp-rtt", "ns", node.RTT*1e3)
		all.series("tcp-rtt/on=host", "ns", host.RTT*1e3)
		all.series("tcp-rate", "B/s", node.Rate*1e6)
		all.series("tcp-rate/on=host", "B/s", host.Rate*1e6)
	}
	m.part.Divide("TCP round trip between nodes, times the host's", m.part.Find("tcp-rtt"), m.part.Find("tcp-rtt/on=host"), true, nil)
	m.part.Divide("TCP rate between nodes, times the host's", m.part.Find("tcp-rate"), m.part.Find("tcp-rate/on=host"), true, nil)
	return nil
}

var fsPart = Part{
	Name: "fs", Title: "files and programs, here and of other nodes", MemoryMB: 192, Least: 2,
	Programs: []string{"hurdlab/suites/programs/hurdbench", "hurdlab/suites/programs/remotebench", "hurdlab/suites/programs/rexecbench"},
	measure:  (*measuring).fs,
}

// operation is a line of hurdbench: name, time, multiple of a null RPC.
var operation = regexp.MustCompile(`^(.*\S) +(\S+) +([\d.]+)$`)

func (m *measuring) fs(ctx context.Context) error {
	rounds := m.turns(1, 5)
	all := newCollection(m.part)
	for range rounds {
		out, err := m.on(ctx, 1, "hurdbench", "-n", fmt.Sprint(m.pick(20, 200)))
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			f := operation.FindStringSubmatch(strings.TrimSpace(line))
			if f == nil {
				continue
			}
			d, err := time.ParseDuration(f[2])
			if err != nil {
				continue // the heading
			}
			times, err := strconv.ParseFloat(f[3], 64)
			if err != nil {
				return fmt.Errorf("hurdbench: %q: %w", line, err)
			}
			all.series(f[1], "ns", float64(d))
			if f[1] != "null RPC" {
				all.ratio(f[1]+", in null RPCs", nil, times)
			}
		}
	}
	var r struct {
		Local  float64 `json:"local_ms"`
		Rexec  float64 `json:"rexec_ms"`
		Remote float64 `json:"remote_file_ms"`
		Trip   float64 `json:"round_trip_ms"`
		Ratio  float64 `json:"rexec_ratio"`
		File   float64 `json:"file_ratio"`
	}
	for range rounds {
		if err := m.json(ctx, &r, 1, "rexecbench", "-rounds", fmt.Sprint(m.pick(1, 5)), "node2", "true"); err != nil {
			return err
		}
		all.series("start", "ns", r.Local*1e6)
		all.series("start/by=rexec", "ns", r.Rexec*1e6)
		all.series("start/of=node2", "ns", r.Remote*1e6)
		all.series("round-trip", "ns", r.Trip*1e6)
		all.ratio("rexec, times three local starts and four round trips", bench.AtMost(1), r.Ratio)
		all.ratio("a program of another node's once more, times a local one", bench.AtMost(1.3), r.File)
	}
	stop, err := m.serve(ctx, 2, "remotebench", "-tls", "-serve", "/etc")
	if err != nil {
		return err
	}
	defer stop()
	type compared struct {
		Netmsg float64 `json:"netmsg_us"`
		NineP  float64 `json:"9p_us"`
		Ratio  float64 `json:"ratio"`
	}
	var l struct {
		List compared `json:"list"`
		Stat compared `json:"stat"`
	}
	for range rounds {
		if err := m.json(ctx, &l, 1, "remotebench", "-rounds", fmt.Sprint(m.pick(1, 5)), "-tls", "-9p", "node2", "/n/node2/etc"); err != nil {
			return err
		}
		all.series("list/a-file", "ns", l.List.Netmsg*1e3)
		all.series("lstat/a-file", "ns", l.Stat.Netmsg*1e3)
		all.ratio("names of a directory of another node, times 9P", bench.AtMost(1), l.List.Ratio)
		all.ratio("lstat of files of another node, times 9P", bench.AtMost(1), l.Stat.Ratio)
	}
	return nil
}

var pagePart = Part{
	Name: "page", Title: "mapped files of other nodes", MemoryMB: 256, Least: 2,
	Programs: []string{"hurdlab/suites/programs/tcp", "hurdlab/suites/programs/pagebench"},
	measure:  besideTCP((*measuring).page),
}

func (m *measuring) page(ctx context.Context, addr string) error {
	all := newCollection(m.part)
	size := m.pick(4<<20, 32<<20)
	for i := range m.turns(1, 5) {
		// A file of its own each time, of which node1 has nothing.
		file := fmt.Sprintf("/tmp/pages-%d", i)
		if _, err := m.on(ctx, 2, "pagebench", "make", "-size", fmt.Sprint(size), file); err != nil {
			return err
		}
		var r struct {
			Touch      float64 `json:"touch_us"`
			Page       float64 `json:"page_us"`
			TouchRatio float64 `json:"touch_ratio"`
			PageRatio  float64 `json:"page_ratio"`
			Read       float64 `json:"read_mb_s"`
			TCP        float64 `json:"tcp_mb_s"`
			ReadRatio  float64 `json:"read_ratio"`
		}
		if err := m.json(ctx, &r, 1, "pagebench", "bench", "-tcp", addr, "/n/node2"+file); err != nil {
			return err
		}
		all.series("touch", "ns", r.Touch*1e3)
		all.series("page-by-tcp", "ns", r.Page*1e3)
		all.series("read", "B/s", r.Read*1e6)
		all.series("tcp", "B/s", r.TCP*1e6)
		all.ratio("first touch of a page, times as much by TCP", bench.AtMost(1.5), r.TouchRatio)
		all.ratio("first touch of a page, times one page by TCP", nil, r.PageRatio)
		all.ratio("reading a mapped file, times the rate of TCP", bench.AtLeast(0.5), r.ReadRatio)
		if _, err := m.on(ctx, 2, "rm", file); err != nil {
			return err
		}
		h, err := m.handOver(ctx, addr)
		if err != nil {
			return err
		}
		all.series("hand-over", "ns", h.Each*1e3)
		all.ratio("two nodes write one page by turns: a turn, in round trips of TCP", bench.AtMost(4), h.Ratio)
	}
	return nil
}

// A handOver is what pagebench turn says.
type handOver struct {
	Each  float64 `json:"each_us"`
	Ratio float64 `json:"ratio"`
}

// handOver has two nodes write a page of node2's by turns.
func (m *measuring) handOver(ctx context.Context, addr string) (h handOver, err error) {
	const file = "/tmp/turns"
	if _, err := m.on(ctx, 2, "sh", "-c", "rm -f "+file+"; pagebench cut -size 4096 "+file); err != nil {
		return h, err
	}
	turns := fmt.Sprint(m.pick(10, 60))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := m.run(ctx, 2, "pagebench", "turn", "-me", "1", "-n", turns, file)
		return err
	})
	g.Go(func() error {
		return m.json(ctx, &h, 1, "pagebench", "turn", "-me", "0", "-n", turns, "-tcp", addr, "/n/node2"+file)
	})
	return h, g.Wait()
}

// A collection adds values to the series and ratios of a part, one at a time.
type collection struct {
	part   *bench.Part
	ratios map[string]*bench.Ratio
}

func newCollection(p *bench.Part) *collection { return &collection{p, make(map[string]*bench.Ratio)} }

func (c *collection) series(name, unit string, v float64) {
	s := c.part.Find(name)
	if s == nil {
		s = c.part.Add(name, unit)
	}
	s.Values = append(s.Values, v)
}

func (c *collection) ratio(name string, goal *bench.Goal, v float64) {
	r := c.ratios[name]
	if r == nil {
		r = &bench.Ratio{Name: name, Goal: goal}
		c.ratios[name] = r
		c.part.Ratios = append(c.part.Ratios, r)
	}
	r.Values = append(r.Values, v)
}
