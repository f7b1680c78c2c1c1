package rights

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"hurdlab/internal/scripts"
)

// TestScripts runs the scripts in testdata. Each is a story about a few nodes,
// told as what happens, and answered with what the nodes do. Its first lines say
// which rules of docs/netmsg-protocol.md it is about. To write the answers
// anew: go test ./netmsg/rights -run TestScripts -rewrite; then read the
// difference.
//
// The language, where a and b are nodes and p a port:
//
//	nodes a b c            the nodes there are
//	limits holds=2 ...     of nodes made afterwards
//	connect a b            a session; disconnect a b ends it; a loses b: only a has noticed
//	restart a              a begins anew, with another epoch, without sessions
//	a offers p to b        the door
//	a sends p, send q, once r, receive s, dead, null   a task's message to the proxy p
//	a sends 300 bytes to p, ...
//	a drops p              no senders at a proxy (stale: by an older count)
//	a destroys once r      a send-once right to a proxy, unused
//	p dies at a            a port of the node a
//	p fills at a           deliveries to p wait until: p drains at a
//	flushed p at a         the marker has come out of the queue of p
//	deliver a b            the next record from a to b; others wait
//	settle                 all records, until there are none
//	unreachable a b        the answer to a's dial of b
//	inject a b RECORD      b gets a record that a's table would not have sent
//	dump a
//
// Ports are known by one name everywhere. A proxy has the name of the port that
// it stands for.
func TestScripts(t *testing.T) {
	scripts.Run(t, func(*datadriven.TestData) (scripts.World, error) {
		w := newWorld()
		return scripts.World{Line: w.line, Out: &w.out}, nil
	})
}

// TestRulesHaveScripts checks that each rule is named by a script.
func TestRulesHaveScripts(t *testing.T) {
	var races []string
	for i := range 9 {
		races = append(races, fmt.Sprintf("R%d", i+1))
	}
	// What the table does not decide: package session's and transport's tests name them.
	elsewhere := map[string]bool{"S2": true, "B4": true}
	scripts.CheckRules(t, scripts.Rules{
		Doc: "../../docs/netmsg-protocol.md", More: races, Scripts: 60,
		Elsewhere: func(r string) bool { return elsewhere[r] },
	})
}

type text struct {
	string
	size int
}

func (t text) Size() int      { return t.size }
func (t text) String() string { return t.string }

// A world is the nodes of a script.
type world struct {
	limits Limits
	names  []NodeID
	nodes  map[NodeID]*host
	links  map[[2]NodeID][]Record
	ids    map[ID]string
	bodies int
	out    strings.Builder
}

type host struct {
	*Node
	self  Incarnation
	ports map[string]Port // of the node
	full  map[Port][]uint64
	made  map[Port]uint32
	names map[Port]ID // also of ports that are forgotten
}

func newWorld() *world {
	return &world{nodes: make(map[NodeID]*host), links: make(map[[2]NodeID][]Record), ids: make(map[ID]string)}
}

func (w *world) start(name NodeID, epoch uint64) {
	self := Incarnation{name, epoch}
	w.nodes[name] = &host{
		Node: New(Config{Self: self, Limits: w.limits, Key: func(num uint64) Key { return Key{byte(epoch), byte(num), 0xa5} }}),
		self: self, ports: make(map[string]Port), full: make(map[Port][]uint64), made: make(map[Port]uint32),
		names: make(map[Port]ID),
	}
}

// port finds a port by its name: one of the node, or a proxy.
func (w *world) port(h *host, name string) (Port, error) {
	var found Port
	var num uint64
	for id, x := range w.ids {
		if e := h.entries[id]; x == name && e != nil && id.Num > num {
			for e.alias != nil {
				e = e.alias
			}
			if e.port != 0 {
				found, num = e.port, id.Num
			}
		}
	}
	if found != 0 {
		return found, nil
	}
	if p, ok := h.ports[name]; ok {
		return p, nil
	}
	for _, x := range w.nodes {
		if _, ok := x.ports[name]; ok && x != h {
			return 0, fmt.Errorf("%s has no proxy of %s", h.self.Node, name)
		}
	}
	p := h.NewPort()
	h.ports[name] = p
	return p, nil
}

// learn gives the ids of ports that have names of the script the same names.
func (w *world) learn(h *host) {
	for name, p := range h.ports {
		if e := h.Node.ports[p]; e != nil && e.id.Origin == h.self {
			w.ids[e.id] = name
		}
	}
}

func (w *world) id(id ID) string {
	if name, ok := w.ids[id]; ok {
		return name
	}
	return fmt.Sprintf("%s#%d", id.Origin.Node, id.Num)
}

func (w *world) portName(h *host, p Port) string {
	if e := h.Node.ports[p]; e != nil {
		return w.id(e.id)
	}
	for name, x := range h.ports {
		if x == p {
			return name
		}
	}
	return w.id(h.names[p])
}

func (w *world) line(line string) error {
	for _, h := range w.nodes {
		for p, e := range h.Node.ports {
			h.names[p] = e.id
		}
	}
	head, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	node := func(i int) *host {
		if i < len(args) {
			return w.nodes[NodeID(args[i])]
		}
		return nil
	}
	switch head {
	case "nodes":
		for i, a := range args {
			w.names = append(w.names, NodeID(a))
			w.start(NodeID(a), uint64(100+i))
		}
	case "limits":
		for _, a := range args {
			k, v, _ := strings.Cut(a, "=")
			x, err := strconv.Atoi(v)
			if err != nil {
				return err
			}
			switch k {
			case "window":
				w.limits.Window = x
			case "budget":
				w.limits.Budget = x
			case "message":
				w.limits.Message = x
			case "rights":
				w.limits.Rights = x
			case "holds":
				w.limits.Holds = x
			case "claims":
				w.limits.Claims = x
			default:
				return fmt.Errorf("no limit %s", k)
			}
		}
	case "connect":
		a, b := node(0), node(1)
		l := w.limits.WithDefaults()
		w.links[[2]NodeID{a.self.Node, b.self.Node}], w.links[[2]NodeID{b.self.Node, a.self.Node}] = nil, nil
		a.Connected(b.self, l.Window, l.Budget)
		b.Connected(a.self, l.Window, l.Budget)
	case "disconnect":
		a, b := node(0), node(1)
		w.links[[2]NodeID{a.self.Node, b.self.Node}], w.links[[2]NodeID{b.self.Node, a.self.Node}] = nil, nil
		a.Lost(b.self.Node)
		b.Lost(a.self.Node)
	case "restart":
		h := node(0)
		w.start(h.self.Node, h.self.Epoch+100)
		for k := range w.links {
			if slices.Contains(k[:], h.self.Node) {
				w.links[k] = nil
			}
		}
	case "deliver":
		if !w.deliver(NodeID(args[0]), NodeID(args[1])) {
			return fmt.Errorf("nothing is under way")
		}
	case "settle":
	case "unreachable":
		node(0).Unreachable(NodeID(args[1]))
	case "dump":
		h := node(0)
		for line := range strings.Lines(h.Dump()) {
			line = regexp.MustCompile(`\w+#\d+`).ReplaceAllStringFunc(line, func(s string) string {
				for id, name := range w.ids {
					if s == h.name(id) {
						return name
					}
				}
				return s
			})
			w.out.WriteString("  " + line)
		}
	case "flushed":
		p, err := w.port(node(2), args[0])
		if err != nil {
			return err
		}
		node(2).Flushed(p)
	case "inject":
		r, err := w.record(node(0), node(1), args[2:])
		if err != nil {
			return err
		}
		node(1).Receive(node(0).self.Node, r)
	default:
		if len(args) == 3 && args[1] == "at" || len(args) == 2 && args[0] == "at" {
			return w.portEvent(head, args[0], w.nodes[NodeID(args[len(args)-1])])
		}
		if h := w.nodes[NodeID(head)]; h == nil {
			return fmt.Errorf("what?")
		} else if err := w.event(h, args); err != nil {
			return err
		}
	}
	w.act()
	if head == "settle" {
		for busy := true; busy; {
			busy = false
			for _, a := range w.names {
				for _, b := range w.names {
					for w.deliver(a, b) {
						busy = true
						w.act()
					}
				}
			}
		}
	}
	for _, name := range w.names {
		if err := w.nodes[name].Check(); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	return nil
}

func (w *world) portEvent(name, what string, h *host) error {
	p, err := w.port(h, name)
	if err != nil {
		return err
	}
	switch what {
	case "dies":
		h.Died(p)
	case "fills":
		h.full[p] = []uint64{}
	case "drains":
		for _, d := range h.full[p] {
			h.Delivered(d)
		}
		delete(h.full, p)
	default:
		return fmt.Errorf("%s what?", name)
	}
	w.act()
	return nil
}

func (w *world) event(h *host, args []string) error {
	switch args[0] {
	case "loses":
		b := NodeID(args[1])
		w.links[[2]NodeID{b, h.self.Node}] = nil
		h.Lost(b)
	case "offers":
		p, err := w.port(h, args[1])
		if err != nil {
			return err
		}
		h.Offer(NodeID(args[3]), p)
		w.learn(h)
	case "drops":
		p, err := w.port(h, args[1])
		if err != nil {
			return err
		}
		made := h.made[p]
		if len(args) > 2 {
			made--
		}
		h.NoSenders(p, made)
	case "destroys":
		p, err := w.port(h, args[2])
		if err != nil {
			return err
		}
		h.Extinct(p)
	case "sends":
		args = args[1:]
		w.bodies++
		body := text{fmt.Sprintf("m%d", w.bodies), 10}
		if len(args) > 1 && args[1] == "bytes" {
			body.size, _ = strconv.Atoi(args[0])
			args = args[2:]
		}
		words := strings.Split(strings.TrimPrefix(strings.Join(args, " "), "to "), ",")
		to, err := w.port(h, strings.TrimSpace(words[0]))
		if err != nil {
			return err
		}
		m := LocalMessage{Body: body}
		for _, x := range words[1:] {
			kind, name, _ := strings.Cut(strings.TrimSpace(x), " ")
			k := Kind(slices.Index(kinds[:], kind))
			r := LocalRight{Kind: k}
			if name != "" {
				if r.Port, err = w.port(h, name); err != nil {
					return err
				}
			}
			m.Rights = append(m.Rights, r)
		}
		h.Sent(to, m)
		w.learn(h)
	default:
		return fmt.Errorf("%s does what?", h.self.Node)
	}
	return nil
}

// record makes a record of its description: type, port or node#number, and
// fields n=, key=good, from=, to=, once, dead, bytes=, and rights as in
// send:p, counted:p, once:p, receive:p.
func (w *world) record(from, to *host, args []string) (Record, error) {
	r := Record{Type: RecordType(slices.Index(recordTypes[:], args[0]))}
	find := func(name string) ID {
		var last ID
		for id, x := range w.ids {
			if x == name && id.Num > last.Num {
				last = id
			}
		}
		if last.Num > 0 {
			return last
		}
		node, num, _ := strings.Cut(name, "#")
		k, _ := strconv.ParseUint(num, 10, 64)
		id := ID{Num: k}
		if h := w.nodes[NodeID(node)]; h != nil {
			id.Origin = h.self
		} else {
			id.Origin = Incarnation{NodeID(node), 1}
		}
		return id
	}
	key := func(id ID) Key { return Key{byte(id.Origin.Epoch), byte(id.Num), 0xa5} }
	if r.Type == RecMessage || r.Type == RecOffer {
		r.Message = &Message{}
	}
	if r.Type == RecMessage {
		r.Message.Body = text{"injected", 10}
	}
	for i, a := range args[1:] {
		k, v, _ := strings.Cut(a, "=")
		kind, name, isRight := strings.Cut(a, ":")
		switch {
		case isRight:
			x := Right{Kind: Send, ID: find(name), Key: key(find(name))}
			switch kind {
			case "counted":
				x.Counted = true
			case "once":
				x.Kind, x.Counted = SendOnce, true
			case "receive":
				x.Kind = Receive
			}
			r.Message.Rights = append(r.Message.Rights, x)
		case k == "n":
			r.N, _ = strconv.ParseUint(v, 10, 64)
		case k == "key":
			r.Key = key(r.ID)
		case k == "from", k == "to":
			r.Node = NodeID(v)
		case k == "bytes":
			size, _ := strconv.Atoi(v)
			r.Message.Body = text{"injected", size}
		case a == "once":
			r.Once = true
		case a == "dead":
			r.Dead = true
		case i == 0:
			r.ID = find(a)
		default:
			return r, fmt.Errorf("field %s", a)
		}
	}
	return r, nil
}

func (w *world) deliver(a, b NodeID) bool {
	k := [2]NodeID{a, b}
	if len(w.links[k]) == 0 {
		return false
	}
	r := w.links[k][0]
	w.links[k] = w.links[k][1:]
	w.nodes[b].Receive(a, r)
	return true
}

// act does and prints the actions of all nodes.
func (w *world) act() {
	for busy := true; busy; {
		busy = false
		for _, name := range w.names {
			h := w.nodes[name]
			for _, a := range h.Actions() {
				w.learn(h)
				busy = true
				w.action(name, h, a)
			}
		}
	}
}

func (w *world) action(name NodeID, h *host, a Action) {
	say := func(format string, args ...any) {
		fmt.Fprintf(&w.out, "%s: %s\n", name, fmt.Sprintf(format, args...))
	}
	port := func(p Port) string { return w.portName(h, p) }
	switch a := a.(type) {
	case Transmit:
		k := [2]NodeID{name, a.Peer}
		w.links[k] = append(w.links[k], a.Record)
		fmt.Fprintf(&w.out, "%s→%s %s\n", name, a.Peer, w.describe(a.Record))
	case Dial:
		say("dial %s", a.Node)
	case Close:
		w.links[[2]NodeID{a.Peer, name}] = nil
		say("close %s: %s: %v", a.Peer, a.Err.Code, w.plain(a.Err.Error()))
	case NewProxy:
		if a.Once {
			say("new proxy for one message, %s", port(a.Port))
		} else {
			say("new proxy %s", port(a.Port))
		}
	case Kill:
		say("kill %s", port(a.Port))
	case Arm:
		if a.Made != h.made[a.Port] {
			say("say when no senders: %s (made %d)", port(a.Port), a.Made)
		} else {
			say("say when no senders: %s", port(a.Port))
		}
	case Pause:
		say("pause %s", port(a.Port))
	case Resume:
		say("resume %s", port(a.Port))
	case Watch:
		say("watch %s", port(a.Port))
	case Drop:
		say("drop %v %s", a.Kind, port(a.Port))
	case Forget:
		say("forget %s", port(a.Port))
	case Deliver:
		w.delivered(name, h, a, "deliver")
	case Extinguish:
		say("extinguish %s", port(a.Port))
	case Discard:
		say("discard %v", a.Body)
	case Offered:
		h.made[a.Port]++
		say("door of %s: %s", a.Peer, port(a.Port))
	case Adopt:
		h.made[a.Port] = 0
		say("adopt %s", port(a.Port))
	case Flush:
		say("flush %s", port(a.Port))
	case Yield:
		say("yield %s", port(a.Port))
		for _, d := range a.Front {
			w.delivered(name, h, d, "  first")
		}
	}
}

func (w *world) delivered(name NodeID, h *host, a Deliver, verb string) {
	var rights []string
	for _, r := range a.Message.Rights {
		if r.Port == 0 {
			rights = append(rights, r.Kind.String())
			continue
		}
		rights = append(rights, fmt.Sprintf("%v %s", r.Kind, w.portName(h, r.Port)))
		if r.Kind == Send {
			h.made[r.Port]++
		}
	}
	once := ""
	if a.Once {
		once = "once "
	}
	list := ""
	if len(rights) > 0 {
		list = " with " + strings.Join(rights, ", ")
	}
	fmt.Fprintf(&w.out, "%s: %s %v to %s%s%s\n", name, verb, a.Message.Body, once, w.portName(h, a.To), list)
	if q, ok := h.full[a.To]; ok {
		h.full[a.To] = append(q, a.Delivery)
		return
	}
	h.Delivered(a.Delivery)
}

func (w *world) plain(s string) string {
	for id, name := range w.ids {
		s = strings.ReplaceAll(s, id.String()+" ", name+" ")
		s = strings.ReplaceAll(s, id.String()+",", name+",")
	}
	return s
}

func (w *world) describe(r Record) string {
	var b strings.Builder
	b.WriteString(r.Type.String())
	if r.Type != RecOffer {
		b.WriteString(" " + w.id(r.ID))
	}
	if r.N > 0 {
		fmt.Fprintf(&b, " ×%d", r.N)
	}
	switch r.Type {
	case RecClaim:
		fmt.Fprintf(&b, " from %s", r.Node)
	case RecMoved:
		fmt.Fprintf(&b, " to %s", r.Node)
	}
	if r.Once {
		b.WriteString(" once")
	}
	if r.Dead {
		b.WriteString(" dead")
	}
	if r.Message != nil {
		if r.Message.Body != nil {
			fmt.Fprintf(&b, ": %v", r.Message.Body)
		}
		for i, x := range r.Message.Rights {
			sep := ", "
			if i == 0 {
				sep = " with "
			}
			fmt.Fprintf(&b, "%s%v", sep, x.Kind)
			if x.Kind > Dead {
				b.WriteString(" " + w.id(x.ID))
			}
			if x.Counted {
				b.WriteString("+")
			}
		}
	}
	return b.String()
}
