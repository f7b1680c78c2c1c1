package labd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"

	"golang.org/x/crypto/ssh"

	"hurdlab/lab/api"
	"hurdlab/lab/growing"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
	"hurdlab/lab/vnet"
)

// handler serves the daemon's requests; docs/lab.md lists them.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /status", answer(func(r *http.Request, _ *struct{}) (any, error) { return d.status(), nil }))
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) { d.follow(w, r, d.events, true) })
	mux.Handle("POST /down", answer(func(*http.Request, *struct{}) (any, error) {
		d.end(errDown)
		return nil, nil
	}))

	mux.Handle("POST /nodes/{node}/start", d.nodeOp(func(ctx context.Context, n *node) error { return n.start(ctx) }))
	mux.Handle("POST /nodes/{node}/restart", d.nodeOp(func(ctx context.Context, n *node) error { return n.restart(ctx) }))
	mux.Handle("POST /nodes/{node}/kill", d.nodeOp(func(ctx context.Context, n *node) error {
		return n.stop(ctx, true, "its power was cut by hurdlab kill")
	}))
	mux.Handle("POST /nodes/{node}/qmp", answer(d.qmp))
	mux.HandleFunc("GET /nodes/{node}/console", func(w http.ResponseWriter, r *http.Request) {
		n, err := d.node(r.PathValue("node"))
		if err != nil {
			refuse(w, err)
			return
		}
		d.follow(w, r, n.console, r.FormValue("follow") != "")
	})
	mux.HandleFunc("POST /nodes/{node}/attach", d.stream(
		func(n *node) (context.Context, error) { _, err := n.machine(); return d.ctx, err },
		func(ctx context.Context, n *node, conn net.Conn, r *http.Request) {
			from, err := strconv.ParseInt(r.FormValue("from"), 10, 64)
			if err != nil {
				from = n.console.Size()
			}
			n.attach(ctx, conn, from) // its error is that the machine has just ended
		}))
	mux.HandleFunc("POST /nodes/{node}/ssh", d.stream(
		func(n *node) (context.Context, error) {
			if n.ssh == nil {
				return nil, problem.New(fmt.Sprintf("%s has no SSH server", n.cfg.Name), "use its console: hurdlab console "+n.cfg.Name)
			}
			return n.whileUp()
		},
		func(ctx context.Context, n *node, conn net.Conn, _ *http.Request) {
			// The client has been checked to be the lab's owner by its socket.
			config := &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-hurdlab-daemon"}
			config.AddHostKey(n.hostKey)
			n.ssh.Serve(ctx, conn, config) // its error is that the client has gone
		}))
	mux.HandleFunc("POST /nodes/{node}/dial", d.dial)

	mux.Handle("GET /net", answer(func(*http.Request, *struct{}) (any, error) {
		return api.Net{State: d.sw.State(), Counters: d.sw.Counters()}, nil
	}))
	mux.Handle("POST /net/partition", answer(func(_ *http.Request, p *api.Partition) (any, error) {
		return nil, d.changeNet(d.sw.Partition(p.Groups...), "partition %v", p.Groups)
	}))
	mux.Handle("POST /net/isolate/{node}", answer(func(r *http.Request, _ *struct{}) (any, error) {
		return nil, d.changeNet(d.sw.Isolate(r.PathValue("node")), "isolate %s", r.PathValue("node"))
	}))
	mux.Handle("POST /net/rejoin/{node}", answer(func(r *http.Request, _ *struct{}) (any, error) {
		return nil, d.changeNet(d.sw.Rejoin(r.PathValue("node")), "rejoin %s", r.PathValue("node"))
	}))
	mux.Handle("POST /net/heal", answer(func(*http.Request, *struct{}) (any, error) {
		d.sw.Heal()
		return nil, d.changeNet(nil, "heal")
	}))
	mux.Handle("POST /net/clear", answer(func(*http.Request, *struct{}) (any, error) {
		d.sw.ClearFaults()
		return nil, d.changeNet(nil, "clear all faults")
	}))
	mux.Handle("POST /net/faults", answer(func(_ *http.Request, f *api.Faults) (any, error) {
		// Checked here for the words: the function below cannot fail.
		if err := json.Unmarshal(f.Set, new(vnet.Faults)); err != nil {
			return nil, fmt.Errorf("faults: %w", err)
		}
		err := d.sw.EditFaults(f.From, f.To, func(v *vnet.Faults) { json.Unmarshal(f.Set, v) })
		return nil, d.changeNet(err, "faults %s -> %s: %s", f.From, f.To, f.Set)
	}))
	mux.HandleFunc("GET /net/pcap", d.pcap)
	mux.Handle("POST /net/forward", answer(d.addForward))
	mux.Handle("POST /net/unforward", answer(d.dropForward))
	return mux
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// answer makes a handler of a function from the body to the answer.
func answer[In any](f func(*http.Request, *In) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil && len(b) > 0 {
			err = json.Unmarshal(b, in)
		}
		if err != nil {
			refuse(w, fmt.Errorf("request %s: %w", r.URL.Path, err))
			return
		}
		out, err := f(r, in)
		if err != nil {
			refuse(w, err)
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out) // fails only if the client has gone
	})
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	json.NewEncoder(w).Encode(api.Failure{What: err.Error(), Do: problem.Advice(err)})
}

// nodeOp makes a handler of an operation on a node. The operation is given up
// when the client goes away.
func (d *daemon) nodeOp(op func(context.Context, *node) error) http.Handler {
	return answer(func(r *http.Request, _ *struct{}) (any, error) {
		n, err := d.node(r.PathValue("node"))
		if err != nil {
			return nil, err
		}
		ctx, cancel := d.whileAsked(r)
		defer cancel()
		return nil, op(ctx, n)
	})
}

// whileAsked is a context that ends when the client of a request goes away,
// or the lab ends.
func (d *daemon) whileAsked(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(d.ctx, func() { cancel(context.Cause(d.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

// stream makes a handler whose connection becomes a stream, which f uses and
// which is closed when f returns. Before that, check may refuse; the context
// that it returns is f's.
func (d *daemon) stream(check func(*node) (context.Context, error), f func(context.Context, *node, net.Conn, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := d.node(r.PathValue("node"))
		var ctx context.Context
		if err == nil {
			// The request's own says nothing about a connection that has
			// been taken over.
			ctx, err = check(n)
		}
		if err != nil {
			refuse(w, err)
			return
		}
		conn, err := api.Upgrade(w, r)
		if err != nil {
			refuse(w, err)
			return
		}
		defer conn.Close()
		f(ctx, n, conn, r)
	}
}

// dial connects a stream to a TCP port of a node.
func (d *daemon) dial(w http.ResponseWriter, r *http.Request) {
	n, err := d.node(r.PathValue("node"))
	var ctx context.Context
	if err == nil {
		ctx, err = n.whileUp()
	}
	var there net.Conn
	if err == nil {
		there, err = d.sw.DialContext(r.Context(), "tcp", net.JoinHostPort(n.cfg.Name, r.FormValue("port")))
	}
	if err != nil {
		refuse(w, err)
		return
	}
	defer there.Close()
	here, err := api.Upgrade(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	defer here.Close()
	stop := context.AfterFunc(ctx, func() { here.Close(); there.Close() })
	defer stop()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if w, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
			w.CloseWrite() // the other direction may go on
		} else {
			to.Close()
			from.Close()
		}
		done <- struct{}{}
	}
	go pass(there, here)
	go pass(here, there)
	<-done
	<-done
}

// follow sends a file from the offset "from" on, and what is added to it if
// live is set.
func (d *daemon) follow(w http.ResponseWriter, r *http.Request, f *growing.File, live bool) {
	from, _ := strconv.ParseInt(r.FormValue("from"), 10, 64) // none means 0
	// It ends when the client goes, or when the file is closed: at the lab's
	// end, when all has been said.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if !live {
		cancel() // it is looked at only where there is no more to read
	}
	body, err := f.Follow(ctx, from)
	if err != nil {
		refuse(w, err)
		return
	}
	defer body.Close()
	out := &flusher{w, http.NewResponseController(w)}
	out.rc.Flush() // the client waits for the beginning of an answer that may be long in coming
	io.Copy(out, body)
}

// flusher sends every piece at once.
type flusher struct {
	w  io.Writer
	rc *http.ResponseController
}

func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

// qmp runs a command of QEMU's monitor.
func (d *daemon) qmp(r *http.Request, c *api.Command) (any, error) {
	n, err := d.node(r.PathValue("node"))
	if err != nil {
		return nil, err
	}
	proc, err := n.machine()
	if err != nil {
		return nil, err
	}
	var args any
	if len(c.Arguments) > 0 {
		args = c.Arguments
	}
	var out json.RawMessage
	if err := proc.Monitor().Execute(r.Context(), c.Execute, args, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// changeNet records a change of the network that has been made, or returns
// the error of one that has not.
func (d *daemon) changeNet(err error, format string, args ...any) error {
	if err == nil {
		d.journal.Record(state.Event{Kind: state.KindNet, Text: fmt.Sprintf(format, args...)})
	}
	return err
}

// pcap sends the frames of a node, or all, until the client goes away.
func (d *daemon) pcap(w http.ResponseWriter, r *http.Request) {
	c, err := d.sw.Capture(r.FormValue("node"), &flusher{w, http.NewResponseController(w)})
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := d.whileAsked(r)
	defer cancel()
	<-ctx.Done()
	c.Close()
	d.journal.Record(state.Event{Kind: state.KindNet, Text: fmt.Sprintf("capture ended, %d frames dropped", c.Dropped())})
}

// addForward opens a port of the host.
func (d *daemon) addForward(_ *http.Request, f *api.Forward) (any, error) {
	if _, err := d.node(f.Node); err != nil {
		return nil, err
	}
	v, err := d.sw.Forward(f.Listen, f.Node, f.Port)
	if err != nil {
		return nil, problem.Wrap(err, fmt.Sprintf("cannot forward %s to %s:%d", f.Listen, f.Node, f.Port),
			"choose another port, or leave it out to get a free one")
	}
	out := api.Forward{Listen: v.Addr().String(), Node: f.Node, Port: f.Port}
	d.mu.Lock()
	d.forwards = append(d.forwards, forward{out, v})
	d.mu.Unlock()
	d.journal.Record(state.Event{Kind: state.KindNet, Node: f.Node, Text: fmt.Sprintf("forward %s to port %d", out.Listen, f.Port)})
	return out, nil
}

// dropForward closes a port of the host.
func (d *daemon) dropForward(_ *http.Request, f *api.Forward) (any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.forwards, func(v forward) bool { return v.Listen == f.Listen })
	if i < 0 {
		return nil, problem.New(fmt.Sprintf("nothing is forwarded from %s", f.Listen), "see what is: hurdlab net show")
	}
	err := d.forwards[i].f.Close()
	d.forwards = slices.Delete(d.forwards, i, i+1)
	return nil, err
}

// status is the lab's status.
func (d *daemon) status() *api.Status {
	s := &api.Status{
		Name:     d.lab.Name,
		Image:    d.lab.Image,
		Created:  d.lab.Created,
		PID:      os.Getpid(),
		Accel:    d.lab.Accel,
		AccelWhy: d.lab.AccelWhy,
		Seed:     d.lab.Seed,
		Prefix:   d.lab.Prefix.String(),
		Net:      d.sw.State(),
	}
	for _, n := range d.nodes {
		s.Nodes = append(s.Nodes, n.status())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.State = d.state
	for _, f := range d.forwards {
		s.Forwards = append(s.Forwards, f.Forward)
	}
	return s
}
