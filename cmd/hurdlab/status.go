package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/api"
)

func statusCmd(a *app) *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how a lab and its nodes are",
		Long: `Show how a lab and its nodes are. If the lab does not run any more, say what
became of it.`,
		Example: `  hurdlab status
  hurdlab status --all
  hurdlab status --json | jq '.nodes[].state'`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if all {
				return a.statusOfAll(c)
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			s, err := l.Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			a.printStatus(s)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	c.Flags().BoolVar(&all, "all", false, "list all labs, a line each")
	return c
}

func (a *app) printStatus(s *api.Status) {
	fmt.Fprintf(a.out, "lab %q is %s since %s: image %s, %s (%s), seed %d, daemon process %d\n",
		s.Name, s.State, s.Created.Local().Format("15:04:05"), s.Image, s.Accel, s.AccelWhy, s.Seed, s.PID)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tADDRESS\tSTATE\tFOR\tBOOT\tMEMORY\tQEMU HAS\tPROCESS\t")
	for _, n := range s.Nodes {
		mem, rss, pid := fmt.Sprintf("%d MB", n.MemoryMB), "", ""
		if n.PID != 0 {
			rss = fmt.Sprintf("%d MB", n.RSS>>20)
			pid = fmt.Sprint(n.PID)
		}
		boot := ""
		if n.BootTime > 0 {
			boot = fmt.Sprintf("%.1f s", n.BootTime.Seconds())
		}
		what := string(n.State)
		if n.State == api.Booting && n.Stage != "" {
			what += " (" + n.Stage + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", n.Name, n.Addr, what,
			time.Since(n.Since).Round(time.Second), boot, mem, rss, pid)
	}
	w.Flush()
	for _, n := range s.Nodes {
		if n.Why != "" {
			fmt.Fprintf(a.out, "%s is %s: %s\n", n.Name, n.State, n.Why)
		}
		if n.Trouble > 0 {
			fmt.Fprintf(a.out, "%s: trouble on the console (%s): hurdlab logs %s\n", n.Name, count(n.Trouble, "line"), n.Name)
		}
	}
	if len(s.Net.Partition) > 0 {
		var groups []string
		for _, g := range s.Net.Partition {
			groups = append(groups, strings.Join(g, ","))
		}
		fmt.Fprintf(a.out, "network: partitioned: %s\n", strings.Join(groups, " | "))
	}
	if len(s.Net.Isolated) > 0 {
		fmt.Fprintf(a.out, "network: isolated: %s\n", strings.Join(s.Net.Isolated, ", "))
	}
	if len(s.Net.Links) > 0 {
		fmt.Fprintf(a.out, "network: faults on %s: hurdlab net show\n", count(len(s.Net.Links), "link"))
	}
	for _, f := range s.Forwards {
		fmt.Fprintf(a.out, "forward: %s -> %s:%d\n", f.Listen, f.Node, f.Port)
	}
}

// statusOfAll lists all labs. Those that have died are explained.
func (a *app) statusOfAll(c *cobra.Command) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	names, err := dirs.Labs()
	if err != nil {
		return err
	}
	for _, name := range names {
		l, err := lab.Open(dirs, name)
		var s *api.Status
		if err == nil {
			s, err = l.Status(c.Context())
		}
		if err != nil {
			fmt.Fprintf(a.out, "%s: %v\n", name, err)
			continue
		}
		up := 0
		for _, n := range s.Nodes {
			if n.State == api.Up {
				up++
			}
		}
		fmt.Fprintf(a.out, "%s: %s, %d of %s up, image %s, since %s\n", name, s.State, up, count(len(s.Nodes), "node"), s.Image,
			s.Created.Local().Format("2006-01-02 15:04:05"))
	}
	if len(names) == 0 {
		fmt.Fprintln(a.out, "there are no labs")
	}
	return nil
}
