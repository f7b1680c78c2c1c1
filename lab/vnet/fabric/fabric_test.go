package fabric

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// world is a fabric whose output is written down.
type world struct {
	*Fabric
	now    time.Duration
	ports  map[string]Port
	names  []string
	serial uint32
	out    strings.Builder
}

func newWorld(cfg Config) *world {
	w := &world{ports: make(map[string]Port)}
	cfg.Out = func(to Port, frame []byte) {
		fmt.Fprintf(&w.out, "%v %s <- %s\n", w.now, w.names[to], show(frame))
	}
	w.Fabric = New(cfg)
	return w
}

func (w *world) port(t testing.TB, name string) Port {
	p, ok := w.ports[name]
	if !ok {
		t.Fatalf("no port %q", name)
	}
	return p
}

// Input is Fabric.Input, after which the frame is gone.
func (w *world) Input(now time.Duration, from Port, frame []byte) {
	w.Fabric.Input(now, from, frame)
	for i := range frame {
		frame[i] = 0xee
	}
}

// runTo lets time pass until at, step by step, so that everything happens, and
// is written down, at its own time.
func (w *world) runTo(at time.Duration) {
	for {
		next, ok := w.Next()
		if !ok || next > at {
			break
		}
		w.now = next
		w.Advance(next)
	}
	w.now = at
}

// finish lets time pass until nothing is left to do.
func (w *world) finish() {
	for {
		next, ok := w.Next()
		if !ok {
			return
		}
		w.runTo(next)
	}
}

func (w *world) take() string {
	defer w.out.Reset()
	return w.out.String()
}

// hw is the hardware address of a station called by a letter; "*" is all.
func hw(name string) (a [6]byte) {
	switch name {
	case "*":
		return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case "multicast":
		return [6]byte{0x01, 0x00, 0x5e, 0, 0, 1}
	}
	return [6]byte{2, 0, 0, 0, name[0], name[len(name)-1]}
}

// makeFrame is a frame that carries a number.
func makeFrame(src, dst string, serial uint32, length int) []byte {
	s, d := hw(src), hw(dst)
	b := append(append(d[:], s[:]...), 0x88, 0xb5)
	b = binary.BigEndian.AppendUint32(b, serial)
	b = append(b, make([]byte, max(0, length-len(b)))...)
	return b[:length]
}

// show tells the number that a frame carries, and whether it is damaged.
func show(frame []byte) string {
	if len(frame) < 18 {
		return fmt.Sprintf("%d bytes", len(frame))
	}
	n := binary.BigEndian.Uint32(frame[14:])
	for _, b := range frame[18:] {
		if b != 0 {
			return fmt.Sprintf("#%d damaged", n)
		}
	}
	if n > 1e6 {
		return "damaged"
	}
	return fmt.Sprintf("#%d", n)
}

// TestScripts runs the scripts in testdata. They read as the description of
// what the fabric does.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if w == nil && d.Cmd != "fabric" {
				d.Fatalf(t, "a script begins with fabric")
			}
			if d.HasArg("at") {
				w.runTo(duration(t, d, "at"))
			}
			switch d.Cmd {
			case "fabric": // fabric [seed=N] [hold=BYTES] ports=(a,b,...) [spared=(...)]
				var seed uint64 = 1
				hold := 1 << 20
				var ports, spared []string
				d.MaybeScanArgs(t, "seed", &seed)
				d.MaybeScanArgs(t, "hold", &hold)
				w = newWorld(Config{Seed: seed, MTU: 1500, LinkBytes: hold})
				for _, a := range d.CmdArgs {
					switch a.Key {
					case "ports":
						ports = a.Vals
					case "spared":
						spared = a.Vals
					}
				}
				for i, name := range append(ports, spared...) {
					w.ports[name] = w.AddPort(name, i >= len(ports))
					w.names = append(w.names, name)
				}
				return ""
			case "send": // send port=P src=A dst=B [n=COUNT] [len=BYTES] [at=TIME] [every=TIME]
				var port, src, dst string
				n, length := 1, 60
				d.ScanArgs(t, "port", &port)
				d.ScanArgs(t, "src", &src)
				d.ScanArgs(t, "dst", &dst)
				d.MaybeScanArgs(t, "n", &n)
				d.MaybeScanArgs(t, "len", &length)
				for i := range n {
					if i > 0 && d.HasArg("every") {
						w.runTo(w.now + duration(t, d, "every"))
					}
					w.serial++
					w.Input(w.now, w.port(t, port), makeFrame(src, dst, w.serial, length))
				}
				return w.take()
			case "advance": // advance [at=TIME]: to TIME, or until nothing is left to do
				if !d.HasArg("at") {
					w.finish()
				}
				return w.take()
			case "faults": // faults from=P to=P [cut] [loss=..] [delay=..] ...
				var from, to string
				d.ScanArgs(t, "from", &from)
				d.ScanArgs(t, "to", &to)
				f := parseFaults(t, d)
				if err := f.Validate(); err != nil {
					return err.Error()
				}
				w.SetFaults(w.port(t, from), w.port(t, to), f)
				return ""
			case "partition": // one group a line of input; none heals
				var groups [][]Port
				for line := range strings.Lines(d.Input) {
					var g []Port
					for _, name := range strings.Fields(line) {
						g = append(g, w.port(t, name))
					}
					groups = append(groups, g)
				}
				w.Partition(groups)
				return ""
			case "isolate", "rejoin":
				var port string
				d.ScanArgs(t, "port", &port)
				w.Isolate(w.port(t, port), d.Cmd == "isolate")
				return ""
			case "port": // port name=P: its counters
				var port string
				d.ScanArgs(t, "name", &port)
				return toJSON(t, w.PortCounters(w.port(t, port)))
			case "link": // link from=P to=P: its counters
				var from, to string
				d.ScanArgs(t, "from", &from)
				d.ScanArgs(t, "to", &to)
				return toJSON(t, w.LinkCounters(w.port(t, from), w.port(t, to)))
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func duration(t testing.TB, d *datadriven.TestData, key string) time.Duration {
	var text string
	d.ScanArgs(t, key, &text)
	v, err := time.ParseDuration(text)
	if err != nil {
		d.Fatalf(t, "%s: %v", key, err)
	}
	return v
}

func parseFaults(t testing.TB, d *datadriven.TestData) (f Faults) {
	number := map[string]*float64{"loss": &f.Loss, "corrupt": &f.Corrupt, "duplicate": &f.Duplicate, "reorder": &f.Reorder}
	for _, a := range d.CmdArgs {
		var err error
		switch a.Key {
		case "from", "to", "at":
		case "cut":
			f.Cut = true
		case "delay":
			f.Delay = duration(t, d, "delay")
		case "jitter":
			f.Jitter = duration(t, d, "jitter")
		case "rate":
			f.Rate, err = strconv.ParseInt(a.Vals[0], 10, 64)
		default:
			p := number[a.Key]
			if p == nil {
				d.Fatalf(t, "unknown fault %q", a.Key)
			}
			*p, err = strconv.ParseFloat(a.Vals[0], 64)
		}
		if err != nil {
			d.Fatalf(t, "%s: %v", a.Key, err)
		}
	}
	return f
}

func toJSON(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}
