package qemu

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// A Monitor talks to QEMU in its Machine Protocol (QMP). Its methods may be
// called from several goroutines.
type Monitor interface {
	// Execute runs a command, with arguments that become a JSON object, and
	// stores what it returns in result; both may be nil. When ctx ends it
	// returns, though QEMU may still carry the command out.
	Execute(ctx context.Context, command string, args, result any) error
}

// answerTime is how long QEMU may take for an answer before the monitor is
// given up. QEMU answers in milliseconds unless it hangs; a busy host with
// many machines can make it a second or two.
const answerTime = 30 * time.Second

// errMonitorClosed says that QEMU is gone, or has not answered in time.
var errMonitorClosed = errors.New("QEMU's monitor is closed")

// monitor is a [Monitor] on top of go-qemu, whose monitor needs some care:
// it only takes sockets that it has dialled itself; its Run has no deadline;
// an event that nobody reads blocks it, one that comes during the handshake
// is taken for the answer, and one right after an answer may overwrite it;
// and a line over 64 KiB ends it for good. So it is connected through a relay,
// which takes out the events and what is too long, and keeps a log.
type monitor struct {
	conn  net.Conn // to QEMU
	relay net.Conn // to go-qemu
	qmp   *qmp.SocketMonitor
	turn  chan struct{} // holds a token while no command runs
	once  sync.Once
	gone  chan struct{}
}

// newMonitor makes a monitor of a connection to QEMU, which it takes over. It
// calls event with each event and, even if it fails, ended when no more will
// come.
func newMonitor(ctx context.Context, conn net.Conn, log io.Writer, event func(qmp.Event), ended func()) (*monitor, error) {
	m := &monitor{conn: conn, turn: make(chan struct{}, 1), gone: make(chan struct{})}
	if log == nil {
		log = io.Discard
	}
	log = &locked{w: log}
	var err error
	m.relay, m.qmp, err = dialSelf()
	if err != nil {
		conn.Close()
		ended()
		return nil, fmt.Errorf("connect to QEMU's monitor: %w", err)
	}
	go func() {
		defer ended()
		defer m.close()
		m.fromQEMU(log, event)
	}()
	// If QEMU has gone the other direction will see it, and read before what
	// QEMU has said last; so this one closes nothing.
	go io.Copy(io.MultiWriter(m.conn, &prefixer{w: log, prefix: "> "}), m.relay)
	connected := make(chan error, 1)
	go func() {
		connected <- m.qmp.Connect()
		<-m.gone
		m.qmp.Disconnect() // not before Connect has returned: they would race
	}()
	t := time.NewTimer(answerTime)
	defer t.Stop()
	select {
	case err = <-connected:
		if err == io.EOF {
			err = errMonitorClosed
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-t.C:
		err = fmt.Errorf("no answer within %v", answerTime)
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("connect to QEMU's monitor: %w", err)
	}
	m.turn <- struct{}{}
	return m, nil
}

// dialSelf makes go-qemu dial us. The listener has a random name in Linux's
// abstract name space, where nothing is left behind, and is closed as soon as
// the connection is there.
func dialSelf() (net.Conn, *qmp.SocketMonitor, error) {
	l, err := net.Listen("unix", "@hurdlab-qmp-"+rand.Text())
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	mon, err := qmp.NewSocketMonitor("unix", l.Addr().String(), answerTime)
	if err != nil {
		return nil, nil, err
	}
	// It is connected already, and the first in the queue.
	conn, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return conn, mon, nil
}

// maxAnswer is what go-qemu's scanner takes, with its line end.
const maxAnswer = bufio.MaxScanTokenSize - 1

// fromQEMU passes QEMU's answers on and its events to event.
func (m *monitor) fromQEMU(log io.Writer, event func(qmp.Event)) {
	r := bufio.NewReader(m.conn)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		log.Write(append([]byte("< "), line...))
		var e qmp.Event
		if json.Unmarshal(line, &e) == nil && e.Event != "" {
			event(e)
			continue
		}
		if len(line) > maxAnswer {
			line, _ = json.Marshal(map[string]any{"error": map[string]string{
				"class": "GenericError",
				"desc":  fmt.Sprintf("the answer of %d bytes is too long for this monitor", len(line)),
			}})
			line = append(line, '\n')
		}
		if _, err := m.relay.Write(line); err != nil {
			return
		}
	}
}

func (m *monitor) Execute(ctx context.Context, command string, args, result any) error {
	fail := func(err error) error { return fmt.Errorf("QEMU command %s: %w", command, err) }
	b, err := json.Marshal(qmp.Command{Execute: command, Args: args})
	if err != nil {
		return fail(err)
	}
	select {
	case <-m.turn:
	case <-m.gone:
		return fail(errMonitorClosed)
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
	type answer struct {
		b   []byte
		err error
	}
	answers := make(chan answer, 1)
	// The turn is over when the answer is there, whether or not the caller
	// waits for it: the next command would get it otherwise.
	go func() {
		late := time.AfterFunc(answerTime, m.close)
		b, err := m.qmp.Run(b)
		late.Stop()
		answers <- answer{b, err}
		m.turn <- struct{}{}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			if m.closed() {
				return fail(errMonitorClosed)
			}
			return fail(a.err)
		}
		if result == nil {
			return nil
		}
		var r struct {
			Return json.RawMessage `json:"return"`
		}
		if err := json.Unmarshal(a.b, &r); err != nil {
			return fail(err)
		}
		if err := json.Unmarshal(r.Return, result); err != nil {
			return fail(err)
		}
		return nil
	case <-m.gone:
		return fail(errMonitorClosed)
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
}

func (m *monitor) closed() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// close ends the monitor and whatever waits for it.
func (m *monitor) close() {
	m.once.Do(func() {
		close(m.gone)
		m.conn.Close()
		m.relay.Close()
	})
}

// locked is a writer for several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// prefixer writes each piece as a line of its own after prefix.
type prefixer struct {
	w      io.Writer
	prefix string
}

func (p *prefixer) Write(b []byte) (int, error) {
	line := append([]byte(p.prefix), bytes.TrimRight(b, "\n")...)
	if _, err := p.w.Write(append(line, '\n')); err != nil {
		return 0, err
	}
	return len(b), nil
}
