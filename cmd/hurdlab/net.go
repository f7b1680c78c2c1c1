package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/vnet"
)

func netCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "net",
		Short: "Show and disturb the network of a lab",
		Long: `Show and disturb the network of a lab. Every pair of nodes has a link in each
direction; "gateway" is this host, and "all" stands for every node. What the
faults do is decided by the lab's seed, so that it can be seen again.`,
		Example: `  hurdlab net partition node1,node2 node3   # two groups
  hurdlab net delay node1 node2 50ms
  hurdlab net loss all all 1%
  hurdlab net heal && hurdlab net clear
  hurdlab net pcap -o trace.pcap node1`,
		Args: args(0, 0, "one of its commands"),
		RunE: func(c *cobra.Command, args []string) error { return c.Help() },
	}
	c.AddCommand(
		netShowCmd(a),
		netPartitionCmd(a),
		netNodeCmd(a, "isolate", "Cut a node from all others", lab.Net.Isolate),
		netNodeCmd(a, "rejoin", "Undo isolate", lab.Net.Rejoin),
		netPlainCmd(a, "heal", "End partitions and isolations", lab.Net.Heal),
		netPlainCmd(a, "clear", "End delay, loss and all other faults of links", lab.Net.Clear),
		netDelayCmd(a),
		netFaultCmd(a, "loss", "Lose frames", "1%", "loss", parseProbability),
		netFaultCmd(a, "duplicate", "Deliver frames twice", "1%", "duplicate", parseProbability),
		netFaultCmd(a, "reorder", "Let later frames pass earlier ones", "5%", "reorder", parseProbability),
		netFaultCmd(a, "corrupt", "Flip a bit of frames", "0.1%", "corrupt", parseProbability),
		netFaultCmd(a, "rate", "Limit the bytes per second; 0 ends the limit", "1MB", "rate_bytes_per_s", parseRate),
		netPcapCmd(a),
		netForwardCmd(a),
		netUnforwardCmd(a),
	)
	return c
}

// netName is how a user's name for a node, or all of them, is called below.
func netName(s string) string {
	if s == "all" {
		return vnet.AllNodes
	}
	return s
}

func netPartitionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "partition GROUP...",
		Short: "Let only nodes of the same group talk",
		Long: `Let only nodes of the same group talk. A group is a list of nodes, with commas;
nodes in no group form one more. This host still reaches all, unless "gateway"
is in a group. A new partition replaces the old one.`,
		Example: `  hurdlab net partition node1 node2
  hurdlab net partition node1,node2 node3,node4`,
		Args: args(1, -1, "groups of nodes"),
		RunE: func(c *cobra.Command, args []string) error {
			var groups [][]string
			in := make(map[string]bool)
			for _, g := range args {
				nodes := strings.Split(g, ",")
				for _, n := range nodes {
					in[n] = true
				}
				groups = append(groups, nodes)
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			apart := len(groups) > 1
			for _, n := range l.Nodes() {
				apart = apart || !in[n.Name()]
			}
			if !apart {
				return problem.New(fmt.Sprintf("all nodes are in the group %s, so nothing would be apart", args[0]),
					"separate the groups by spaces: hurdlab net partition node1 node2")
			}
			return l.Net().Partition(c.Context(), groups...)
		},
	}
}

// netPlainCmd is a command without arguments.
func netPlainCmd(a *app, name, short string, do func(lab.Net, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  hurdlab net " + name,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			return do(l.Net(), c.Context())
		},
	}
}

// netNodeCmd is a command about one node.
func netNodeCmd(a *app, name, short string, do func(lab.Net, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " NODE", Short: short, Example: "  hurdlab net " + name + " node2",
		Args: args(1, 1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			return do(l.Net(), c.Context(), args[0])
		},
	}
}

func netDelayCmd(a *app) *cobra.Command {
	var jitter time.Duration
	c := netFaultCmd(a, "delay", "Delay frames", "50ms", "delay_ns", func(s string) (any, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, problem.Wrap(err, "", "write it as 50ms or 1.5s")
		}
		return map[string]any{"delay_ns": d, "jitter_ns": jitter}, nil
	})
	c.Flags().DurationVar(&jitter, "jitter", 0, "vary the delay by up to this much")
	return c
}

// netFaultCmd is a command that sets one fault of a link.
func netFaultCmd(a *app, name, short, example, field string, parse func(string) (any, error)) *cobra.Command {
	var oneWay bool
	c := &cobra.Command{
		Use:   name + " FROM TO VALUE",
		Short: short,
		Long:  short + ", between two nodes, or any, in both directions. The other faults of the link stay.",
		Example: fmt.Sprintf("  hurdlab net %[1]s node1 node2 %[2]s\n  hurdlab net %[1]s --one-way node2 all %[2]s\n  hurdlab net %[1]s node1 node2 0",
			name, example),
		Args: args(3, 3, "two nodes and a value"),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := parse(args[2])
			if err != nil {
				return err
			}
			fields, ok := v.(map[string]any)
			if !ok {
				fields = map[string]any{field: v}
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			from, to := netName(args[0]), netName(args[1])
			if err := l.Net().Edit(c.Context(), from, to, fields); err != nil || oneWay || from == to {
				return err
			}
			return l.Net().Edit(c.Context(), to, from, fields)
		},
	}
	c.Flags().BoolVar(&oneWay, "one-way", false, "only frames from FROM to TO")
	return c
}

// parseProbability parses "1%" and "0.01".
func parseProbability(s string) (any, error) {
	number, percent := strings.CutSuffix(s, "%")
	p, err := strconv.ParseFloat(number, 64)
	if percent {
		p /= 100
	}
	if err != nil || !(p >= 0 && p <= 1) {
		return nil, problem.New(fmt.Sprintf("%q is not a probability", s), "write it as 1% or 0.01, from 0 to 1")
	}
	return p, nil
}

var rate = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([kKMG]?)[Bb]?(?:/s)?$`)

// parseRate parses a number of bytes per second, such as "500kB".
func parseRate(s string) (any, error) {
	m := rate.FindStringSubmatch(s)
	if m == nil {
		return nil, problem.New(fmt.Sprintf("%q is not a rate", s), "write it in bytes per second: 500kB or 1MB")
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return nil, err
	}
	f *= map[string]float64{"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[m[2]]
	if f > math.MaxInt64/2 {
		return nil, problem.New(s+" is too much", "use 0 for no limit")
	}
	return int64(f), nil
}

func netShowCmd(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show", Short: "Show the faults in force and what has passed",
		Example: "  hurdlab net show\n  hurdlab net show --json",
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			s, err := l.Net().State(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			for _, g := range s.State.Partition {
				fmt.Fprintf(a.out, "group: %s\n", strings.Join(g, ", "))
			}
			if len(s.State.Isolated) > 0 {
				fmt.Fprintf(a.out, "isolated: %s\n", strings.Join(s.State.Isolated, ", "))
			}
			for _, f := range s.State.Links {
				fmt.Fprintf(a.out, "%s -> %s: %s\n", f.From, f.To, describeFaults(f.Faults))
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NIC\tADDRESS\tMAC\tFRAMES IN\tBYTES IN\tFRAMES OUT\tBYTES OUT\tDROPPED\t")
			for _, n := range s.Counters.NICs {
				plugged := ""
				if !n.Attached && n.Name != vnet.GatewayName {
					plugged = "(unplugged)"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Name, n.Addr, n.MAC,
					n.InFrames, n.InBytes, n.OutFrames, n.OutBytes, n.Full+n.Unplugged, plugged)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON, with the counters of every link")
	return c
}

// describeFaults says what a link does.
func describeFaults(f vnet.Faults) string {
	var s []string
	if f.Cut {
		s = append(s, "cut")
	}
	for _, p := range []struct {
		name string
		p    float64
	}{{"loss", f.Loss}, {"corrupt", f.Corrupt}, {"duplicate", f.Duplicate}, {"reorder", f.Reorder}} {
		if p.p > 0 {
			s = append(s, fmt.Sprintf("%s %.4g%%", p.name, 100*p.p))
		}
	}
	if f.Rate > 0 {
		s = append(s, fmt.Sprintf("rate %d B/s", f.Rate))
	}
	if f.Delay > 0 || f.Jitter > 0 {
		s = append(s, fmt.Sprintf("delay %v ± %v", f.Delay, f.Jitter))
	}
	return strings.Join(s, ", ")
}

func netPcapCmd(a *app) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "pcap [NODE]", Short: "Capture frames until ^C",
		Long: `Capture the frames of a node, or of all, until ^C, in the pcap format that
tcpdump and wireshark read. Without -o they go to standard output.`,
		Example: "  hurdlab net pcap -o trace.pcap node1\n  hurdlab net pcap | tcpdump -nr -",
		Args:    args(0, 1, "at most one node"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			l, err := a.open()
			if err != nil {
				return err
			}
			node := ""
			if len(args) > 0 {
				node = args[0]
			}
			out := a.out
			if file != "" {
				f, err := os.Create(file)
				if err != nil {
					return err
				}
				defer func() {
					if e := f.Close(); err == nil {
						err = e
					}
				}()
				out = f
				fmt.Fprintf(a.err, "capturing to %s; ^C ends\n", file)
			} else if _, terminal := terminalOf(a.out); terminal {
				return problem.New("a capture is not for terminals", "write it to a file with -o FILE, or pipe it to tcpdump -nr -")
			}
			return l.Net().Capture(c.Context(), node, out)
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "the file to write")
	return c
}

func netForwardCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "forward NODE:PORT [[HOST:]PORT]",
		Short: "Let a port of this host lead to one of a node",
		Long: `Let a TCP port of this host lead to one of a node. Without a port of this host a
free one is taken; without a host it is 127.0.0.1. It prints the address.`,
		Example: "  hurdlab net forward node1:22\n  hurdlab net forward node2:80 8080",
		Args:    args(1, 2, "NODE:PORT and perhaps an address of this host"),
		RunE: func(c *cobra.Command, args []string) error {
			node, portText, ok := strings.Cut(args[0], ":")
			port, err := strconv.ParseUint(portText, 10, 16)
			if !ok || err != nil || port == 0 {
				return problem.New(fmt.Sprintf("%q is not a port of a node", args[0]), "write NODE:PORT, such as node1:22")
			}
			listen := "127.0.0.1:0"
			if len(args) > 1 {
				listen = args[1]
				if !strings.Contains(listen, ":") {
					listen = "127.0.0.1:" + listen
				}
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			addr, err := l.Net().Forward(c.Context(), listen, node, uint16(port))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, addr)
			return err
		},
	}
}

func netUnforwardCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "unforward HOST:PORT", Short: "End a forward",
		Example: "  hurdlab net unforward 127.0.0.1:8080",
		Args:    args(1, 1, "the address that forward printed"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			return l.Net().Unforward(c.Context(), args[0])
		},
	}
}
