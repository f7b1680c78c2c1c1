package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"hurdlab/lab/api"
	"hurdlab/lab/vnet"
)

// Net is the network of a lab, with its faults. What the faults are, and
// between whom they can be, is described in package vnet: nodes by name,
// vnet.GatewayName for the host, vnet.AllNodes.
type Net struct{ lab *Lab }

// Net is the lab's network.
func (l *Lab) Net() Net { return Net{l} }

func (n Net) post(ctx context.Context, path string, body any) error {
	return n.lab.api.Call(ctx, "POST", path, body, nil)
}

// Partition lets only nodes of the same group talk. A new one replaces the
// old one.
func (n Net) Partition(ctx context.Context, groups ...[]string) error {
	return n.post(ctx, "/net/partition", api.Partition{Groups: groups})
}

// Isolate cuts a node from all others; Rejoin undoes it.
func (n Net) Isolate(ctx context.Context, node string) error {
	return n.post(ctx, "/net/isolate/"+url.PathEscape(node), nil)
}

// Rejoin undoes Isolate.
func (n Net) Rejoin(ctx context.Context, node string) error {
	return n.post(ctx, "/net/rejoin/"+url.PathEscape(node), nil)
}

// Heal ends partitions and isolations.
func (n Net) Heal(ctx context.Context) error { return n.post(ctx, "/net/heal", nil) }

// Clear ends all other faults.
func (n Net) Clear(ctx context.Context) error { return n.post(ctx, "/net/clear", nil) }

// Set replaces the faults of the link from one to the other, in this
// direction.
func (n Net) Set(ctx context.Context, from, to string, f vnet.Faults) error {
	// Fields that are left out stay what they are, so none may be.
	return n.Edit(ctx, from, to, map[string]any{
		"cut": f.Cut, "loss": f.Loss, "corrupt": f.Corrupt, "duplicate": f.Duplicate, "reorder": f.Reorder,
		"rate_bytes_per_s": f.Rate, "delay_ns": f.Delay, "jitter_ns": f.Jitter,
	})
}

// Edit changes those faults of a link that fields has, by their JSON names.
func (n Net) Edit(ctx context.Context, from, to string, fields map[string]any) error {
	b, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	return n.post(ctx, "/net/faults", api.Faults{From: from, To: to, Set: b})
}

// State is the faults in force, and what has happened so far.
func (n Net) State(ctx context.Context) (*api.Net, error) {
	s := new(api.Net)
	return s, n.lab.api.Call(ctx, "GET", "/net", nil, s)
}

// Capture writes what a node sends and gets, or all frames if node is empty,
// to w in pcap format until ctx ends.
func (n Net) Capture(ctx context.Context, node string, w io.Writer) error {
	r, err := n.lab.api.Read(ctx, "/net/pcap?node="+url.QueryEscape(node))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Forward lets a port of this host lead to a port of a node. It returns the
// address where the host listens, which is listen unless that has port 0.
func (n Net) Forward(ctx context.Context, listen, node string, port uint16) (string, error) {
	var f api.Forward
	err := n.lab.api.Call(ctx, "POST", "/net/forward", api.Forward{Listen: listen, Node: node, Port: port}, &f)
	return f.Listen, err
}

// Unforward ends a forward by the address where the host listens.
func (n Net) Unforward(ctx context.Context, listen string) error {
	return n.post(ctx, "/net/unforward", api.Forward{Listen: listen})
}
