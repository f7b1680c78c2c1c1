package coretest

import (
	"fmt"
	"strings"
	"testing"

	"hurdlab/pager/coherence"
	"hurdlab/pager/coherence/sim"
)

// An alone is the C core without the one in Go, for what only it has: pages that are
// precious although messages are in order, of pagers that are told of evictions.
type alone struct {
	*both
}

func newAlone(p *process, c coherence.Config) *alone {
	p.ask("begin %d %d %d %d %d %d %d 1 %d %d %d %d %d %d %d", c.Pages, c.Order, c.Cluster, c.ReadAhead, c.Hold, c.Answer, bit(c.Reserve),
		c.Limits.Clients, c.Limits.Requests, c.Limits.Range, c.Limits.Lock, c.Limits.Unstored, bit(c.Attributes.MayCache), c.Attributes.Copy)
	// The object in Go hears nothing.
	return &alone{both: &both{t: p.t, object: coherence.New(coherence.Config{}), c: p, data: make(map[coherence.Data]number), values: make(map[number]coherence.Data)}}
}

func (a *alone) error(code int) error {
	switch {
	case code > 0:
		return a.faults[code-1]
	case code < 0:
		return coreErrors[-code-1]
	}
	return nil
}

func (a *alone) Actions() (acts []coherence.Action) {
	for _, line := range a.c.ask("actions") {
		var name string
		var client coherence.Client
		var r coherence.Range
		var ret, flush, forbid, reply, precious, final, code, cache int
		var token coherence.Token
		var strategy int32
		f := strings.Fields(line)
		if _, err := fmt.Sscan(strings.Join(f[:14], " "), &name, &client, &r.First, &r.N, &ret, &flush, &forbid, &reply, &precious, &final, &code, &token, &cache, &strategy); err != nil {
			a.t.Fatalf("%q: %v", line, err)
		}
		err := a.error(code)
		var data []coherence.Data
		for _, s := range f[14:] {
			var n number
			fmt.Sscan(s, &n)
			v, ok := a.values[n]
			if !ok {
				a.t.Fatalf("%q: data %d is not the object's", line, n)
			}
			data = append(data, v)
			if name == "discard" || final != 0 {
				delete(a.data, v)
				delete(a.values, n)
			}
		}
		attr := coherence.Attributes{MayCache: cache != 0, Copy: strategy}
		switch name {
		case "ready":
			acts = append(acts, coherence.Ready{Client: client, Attributes: attr})
		case "supply":
			acts = append(acts, coherence.Supply{Client: client, First: r.First, Data: data, Forbid: coherence.Forbid(forbid), Precious: precious != 0, Final: final != 0})
			if precious == 0 {
				a.t.Fatalf("%q: it is not precious", line)
			}
		case "lock":
			acts = append(acts, coherence.Lock{Client: client, Range: r, Return: coherence.Return(ret), Flush: flush != 0, Forbid: coherence.Forbid(forbid), Reply: reply != 0})
		case "fail":
			acts = append(acts, coherence.Fail{Client: client, Range: r, Err: err})
		case "terminate":
			acts = append(acts, coherence.Terminate{Client: client})
		case "cut":
			acts = append(acts, coherence.Cut{Client: client, Err: err})
		case "load":
			acts = append(acts, coherence.Load{Range: r})
		case "store":
			acts = append(acts, coherence.Store{First: r.First, Data: data})
		case "reserve":
			acts = append(acts, coherence.Reserve{Page: r.First})
		case "discard":
			acts = append(acts, coherence.Discard{Data: data[0]})
		case "granted":
			acts = append(acts, coherence.Granted{Token: token, Err: err})
		case "synced":
			acts = append(acts, coherence.Synced{Token: token, Err: err})
		case "closed":
			acts = append(acts, coherence.Closed{Token: token, Err: err})
		default:
			a.t.Fatalf("what is %q?", line)
		}
	}
	return acts
}

func (a *alone) Attach(readOnly bool) (c coherence.Client, err error) {
	var code int
	fmt.Sscan(a.c.ask("attach %d", bit(readOnly))[0], &code, &c)
	return c, a.error(code)
}

func (a *alone) Next() (at coherence.Tick, ok bool) {
	n := 0
	fmt.Sscan(a.c.ask("next")[0], &n, &at)
	return at, n != 0
}

func (a *alone) Idle() bool   { return a.c.ask("idle")[0] == "1" }
func (a *alone) Check() error { return nil }
func (a *alone) Dump() string { return strings.Join(a.c.ask("dump"), "\n") }

// Stats are nothing if the object is idle.
func (a *alone) Stats() (s coherence.Stats) {
	if !a.Idle() {
		s.Clients = 1
	}
	return s
}

// TestPrecious has the C core alone serve the model kernels with precious pages.
func TestPrecious(t *testing.T) {
	p := start(t)
	done, episodes := 0, 0
	for ; done < *opsFlag; episodes++ {
		n, f := sim.Episode(sim.EpisodeSeed(*seedFlag+1, episodes), sim.Options{Change: func(c *sim.Config) {
			c.History = false
			c.Object.Order, c.Object.Cluster, c.Object.ReadAhead = coherence.FIFO, 1, 1
			c.New = func(c coherence.Config) sim.Core { return newAlone(p, c) }
		}})
		done += n
		if f != nil {
			t.Fatalf("%v\n\nwhat happens:\n%s", f, sim.Explain(f))
		}
	}
	t.Logf("%d operations, %d episodes", done, episodes)
}
