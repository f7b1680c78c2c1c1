package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hurdlab/images"
	"hurdlab/lab/problem"
)

// A Component is a program of hurdlab's own that nodes run as a service, and that
// can be replaced while they are up.
type Component struct {
	Name    string
	Package string // in hurdlab's source tree
	Path    string // on a node
	// Stop ends the running one, which the node's init starts again, and Ready
	// succeeds when the new one works. Both are commands of the node.
	Stop, Ready []string
}

// Components are those that there are.
var Components = []Component{{
	Name: "netmsg", Package: "./netmsg/cmd/netmsg", Path: "/hurd/netmsg",
	Stop:  []string{"settrans", "-afg", "/servers/netmsg"},
	Ready: []string{"/hurd/netmsg", "status"},
}}

// FindComponent returns the component with a name.
func FindComponent(name string) (Component, error) {
	var names []string
	for _, c := range Components {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Component{}, problem.New(fmt.Sprintf("there is no component %q", name), "there are: "+strings.Join(names, ", "))
}

// readyTime bounds the start of a component.
const readyTime = time.Minute

// Deploy puts a program that was built as component c onto nodes, all if none is
// named, and starts it there in place of the one that runs. It goes on with
// the others when one fails.
func (l *Lab) Deploy(ctx context.Context, c Component, file string, nodes []string, p images.Progress) error {
	for _, name := range nodes {
		if _, err := l.spec.Node(name); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, n := range l.Nodes() {
		if len(nodes) > 0 && !slices.Contains(nodes, n.name) {
			continue
		}
		wg.Go(func() {
			done := p.Step(n.name)
			err := n.deploy(ctx, c, file)
			done(err)
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *Node) deploy(ctx context.Context, c Component, file string) error {
	if !n.Can(images.CanGo) {
		return problem.New(n.name+" runs no programs of hurdlab's", "their port is for i386: use an image for that")
	}
	// The old file is still mapped by the program that runs: a new one takes
	// its name.
	next := c.Path + ".new"
	if err := n.CopyTo(ctx, file, next); err != nil {
		return err
	}
	if _, err := n.must(ctx, "mv", "-f", next, c.Path); err != nil {
		return err
	}
	if _, err := n.must(ctx, c.Stop...); err != nil {
		return fmt.Errorf("end the old %s: %w", c.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errors.New("time-out"))
	defer cancel()
	for {
		out, err := n.must(ctx, c.Ready...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return problem.Wrap(fmt.Errorf("%s does not come up: %w: %s", c.Name, err, out),
				"", fmt.Sprintf("see what it says: hurdlab logs --name %s %s", n.lab.spec.Name, n.name))
		case <-time.After(200 * time.Millisecond): // init tells nobody when it has started it
		}
	}
}

// must runs a command that is to succeed.
func (n *Node) must(ctx context.Context, args ...string) (string, error) {
	r, err := n.Run(ctx, args...)
	if err != nil {
		return "", err
	}
	if !r.Ok() {
		return r.Stdout, fmt.Errorf("%s: %v: %s", strings.Join(args, " "), r.Exit, strings.TrimSpace(r.Stderr))
	}
	return r.Stdout, nil
}
