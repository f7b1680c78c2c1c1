package remotemount

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/transport"
	"hurdlab/netmsg/wire"
)

// rogueName is what the node calls the peer that its specs are.
const rogueName = "rogue"

// patience is how long a rogue waits for anything that a node does.
const patience = 3 * time.Minute

// A gang is what opens sessions with a node from this host, with a key that the node
// has in its list of peers.
type gang struct {
	node string // the node's name
	over *transport.TLS
}

// admit lets a gang into a node until the end of the container: the node's netmsg
// is started again with one more peer, and in the end without.
func admit(ctx SpecContext, node int) *gang {
	GinkgoHelper()
	DeferCleanup(func(ctx SpecContext) { restart(ctx, node) })
	key := enlist(ctx, node)
	restart(ctx, node)
	return newGang(ctx, node, key)
}

// enlist puts a new key into a node's list of peers until the end of the container. The
// list is read when netmsg starts.
func enlist(ctx SpecContext, node int) ed25519.PrivateKey {
	GinkgoHelper()
	key, err := transport.NewKey()
	Expect(err).NotTo(HaveOccurred())
	on(ctx, node, fmt.Sprintf("cp /etc/netmsg/peers /tmp/peers && echo '%s - %s' >> /etc/netmsg/peers",
		rogueName, transport.PublicText(key.Public().(ed25519.PublicKey))))
	DeferCleanup(func(ctx SpecContext) { on(ctx, node, "mv /tmp/peers /etc/netmsg/peers") })
	return key
}

// newGang makes a gang that has a key, whatever the node thinks of it.
func newGang(ctx SpecContext, node int, key ed25519.PrivateKey) *gang {
	GinkgoHelper()
	name := fmt.Sprintf("node%d", node)
	addr, err := l.Net().Forward(ctx, "127.0.0.1:0", name, transport.Port)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(l.Net().Unforward(ctx, addr)).To(Succeed()) })
	peers, err := transport.ParsePeers([]byte(on(ctx, node%3+1, "cat /etc/netmsg/peers")))
	Expect(err).NotTo(HaveOccurred())
	peer := peers[name]
	peer.Addr = addr
	return &gang{node: name, over: &transport.TLS{Self: rogueName, Key: key, Peers: transport.Peers{name: peer}}}
}

// A rogue is a session with a node whose other end says what a spec wants.
type rogue struct {
	conn  *transport.Conn
	in    *bufio.Reader
	codec wire.Codec
	takes wire.Greeting // the node's greeting
	door  rights.ID     // the node's
	next  machwire.Port // the number of the last right of its own
}

// dial opens a connection, and says nothing in it.
func (g *gang) dial(ctx context.Context) (*rogue, error) {
	conn, err := g.over.Dial(ctx, g.node)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := &rogue{conn: conn, in: bufio.NewReader(conn)}
	r.codec.Self = rights.Incarnation{Node: rogueName, Epoch: rand.Uint64() | 1}
	r.codec.Peer.Node = rights.NodeID(g.node)
	return r, nil
}

// greeting is a good one.
func (r *rogue) greeting() wire.Greeting {
	d := rights.Limits{}.WithDefaults()
	return wire.Greeting{
		MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion, Node: r.codec.Self, To: r.codec.Peer.Node, Word: machwire.Layout32,
		Window: uint64(d.Window), Budget: uint64(d.Budget), Message: uint64(d.Message), Rights: uint64(d.Rights),
		Holds: uint64(d.Holds), Claims: uint64(d.Claims), Dial: 1,
	}
}

// intrude opens a session as a good peer would, up to the node's offer of its door.
func (g *gang) intrude(ctx context.Context) *rogue {
	GinkgoHelper()
	r, err := g.dial(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { r.conn.Close() })
	hello := r.greeting()
	b, err := wire.AppendGreeting(nil, &hello)
	Expect(err).NotTo(HaveOccurred())
	r.write(b)
	r.readGreeting()
	for {
		rec, err := r.record()
		Expect(err).NotTo(HaveOccurred())
		if rec.Type == rights.RecOffer {
			r.door = rec.Message.Rights[0].ID
			return r
		}
	}
}

func (r *rogue) readGreeting() {
	GinkgoHelper()
	b := make([]byte, wire.GreetingHeader)
	_, err := io.ReadFull(r.in, b)
	Expect(err).NotTo(HaveOccurred())
	n, err := wire.GreetingLength(b)
	Expect(err).NotTo(HaveOccurred())
	b = make([]byte, n)
	_, err = io.ReadFull(r.in, b)
	Expect(err).NotTo(HaveOccurred())
	r.takes, err = wire.DecodeGreeting(b)
	Expect(err).NotTo(HaveOccurred())
	r.codec.Peer = r.takes.Node
}

// write writes bytes. That the node has closed the connection is for who reads to find.
func (r *rogue) write(b []byte) { _, _ = r.conn.Write(b) }

// frame is the frame of what may be a record.
func frame(b ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// say says records, which are well formed.
func (r *rogue) say(list ...rights.Record) {
	GinkgoHelper()
	var b []byte
	for i := range list {
		var err error
		b, err = r.codec.Append(b, &list[i])
		Expect(err).NotTo(HaveOccurred())
	}
	r.write(b)
}

// errClosed is the CLOSE of the node.
type errClosed struct{ rights.ProtocolError }

func (e *errClosed) Error() string { return fmt.Sprintf("CLOSE(%v): %s", e.Code, e.Text) }

// record returns the next record, and answers pings.
func (r *rogue) record() (rec rights.Record, err error) {
	for {
		var b []byte
		if b, err = r.frame(); err != nil {
			return rec, err
		}
		if !wire.IsControl(b) {
			return r.codec.Decode(b, true)
		}
		c, err := wire.DecodeControl(b)
		switch c := c.(type) {
		case wire.Ping:
			r.write(wire.AppendControl(nil, wire.Pong{N: c.N}))
		case wire.Close:
			return rec, &errClosed{c.Err}
		}
		if err != nil {
			return rec, err
		}
	}
}

func (r *rogue) frame() ([]byte, error) {
	var head [wire.FrameHeader]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.LittleEndian.Uint32(head[:]))
	_, err := io.ReadFull(r.in, b)
	return b, err
}

// closed waits for the node to end the session, and returns what it says. It answers
// nothing.
func (r *rogue) closed() rights.ProtocolError {
	GinkgoHelper()
	for {
		b, err := r.frame()
		Expect(err).NotTo(HaveOccurred(), "the connection ended without a CLOSE")
		if !wire.IsControl(b) {
			continue
		}
		c, err := wire.DecodeControl(b)
		Expect(err).NotTo(HaveOccurred())
		if c, ok := c.(wire.Close); ok {
			return c.Err
		}
	}
}

// right is a number for a right of its own.
func (r *rogue) right() machwire.Port {
	r.next++
	return r.next
}

// message is a record with a message to a right of the node, which put fills. The
// rights in it are the rogue's, by their numbers, and counted. reply, if not 0, is a
// send-once right of its own.
func (r *rogue) message(to rights.ID, id int32, reply machwire.Port, put func(*machwire.Message)) rights.Record {
	GinkgoHelper()
	m := machwire.New(machwire.Layout32, id)
	if put != nil {
		put(m)
	}
	memory := outOfLine{}
	m.Bind(func(b []byte) uint64 {
		memory[uint64(len(memory)+1)] = b
		return uint64(len(memory))
	})
	// As it would be received: the right to reply is where the destination was.
	m.SetDest(machwire.Null, 0)
	if reply != 0 {
		m.SetDest(reply, machwire.MoveSendOnce)
	}
	Expect(m.Err()).NotTo(HaveOccurred())
	got, err := machwire.Parse(machwire.Layout32, m.Buffer(0), memory)
	Expect(err).NotTo(HaveOccurred())
	body, list, err := wire.Encode(got, nil)
	Expect(err).NotTo(HaveOccurred())
	rec := rights.Record{Type: rights.RecMessage, ID: to, Message: &rights.Message{Body: body}}
	for _, p := range list {
		kind := rights.Send
		switch {
		case p.Port == machwire.Null:
			rec.Message.Rights = append(rec.Message.Rights, rights.Right{})
			continue
		case p.Type == machwire.MoveSendOnce:
			kind = rights.SendOnce
		}
		rec.Message.Rights = append(rec.Message.Rights, rights.Right{
			Kind: kind, ID: rights.ID{Origin: r.codec.Self, Num: uint64(p.Port)}, Key: rights.Key{1}, Counted: true,
		})
	}
	return rec
}

type outOfLine map[uint64][]byte

func (m outOfLine) Bytes(addr uint64, n int) ([]byte, error) {
	if b := m[addr]; len(b) == n {
		return b, nil
	}
	return nil, errors.New("no memory there")
}

// An answer is a reply: its code, and what follows.
type answer struct {
	code   int32
	items  []wire.Item
	rights []rights.Right
}

// text is the first string.
func (a answer) text() string {
	for _, it := range a.items {
		if it.Type == machwire.String {
			s, _, _ := strings.Cut(string(it.Data), "\x00")
			return s
		}
	}
	return ""
}

// call sends a request and waits for its answer.
func (r *rogue) call(to rights.ID, id int32, put func(*machwire.Message)) (a answer, err error) {
	GinkgoHelper()
	reply := r.right()
	r.say(r.message(to, id, reply, put))
	for {
		rec, err := r.record()
		if err != nil {
			return a, err
		}
		if rec.Type != rights.RecMessage || !rec.Once || rec.ID.Num != uint64(reply) {
			continue
		}
		first := true
		for it := range rec.Message.Body.(*wire.Body).Items() {
			if first {
				a.code, first = int32(binary.LittleEndian.Uint32(it.Data)), false
				continue
			}
			a.items = append(a.items, it)
		}
		a.rights = rec.Message.Rights
		return a, nil
	}
}

// Ids of the requests that rogues make.
const (
	idFileGetcontrol   = 20011
	idDirLookup        = 20018
	idDirNoticeChanges = 20026
	idIORead           = 21001
	idDoorGetroot      = 45200
	idDoorInfo         = 45202
)

const stringSize = 1024

// getroot asks the door for the root of an export, for some users.
func (r *rogue) getroot(export string, uids ...int32) (answer, error) {
	GinkgoHelper()
	return r.call(r.door, idDoorGetroot, func(m *machwire.Message) {
		m.PutString(export, stringSize)
		m.PutRight(machwire.Null, machwire.MoveSend)
		m.PutInt32Array(uids)
		m.PutInt32Array(uids)
		m.PutInt32(1) // O_READ
	})
}

// lookup looks a path up at a directory.
func (r *rogue) lookup(dir rights.ID, path string, flags int32) (answer, error) {
	GinkgoHelper()
	return r.call(dir, idDirLookup, func(m *machwire.Message) {
		m.PutString(path, stringSize)
		m.PutInt32(flags)
		m.PutInt32(0)
	})
}

// open opens a file below the root of an export, and wants to succeed.
func (r *rogue) open(export, path string, uids ...int32) rights.ID {
	GinkgoHelper()
	root, err := r.getroot(export, uids...)
	Expect(err).NotTo(HaveOccurred())
	Expect(root.code).To(BeZero())
	Expect(root.rights).To(HaveLen(1))
	if path == "" {
		return root.rights[0].ID
	}
	a, err := r.lookup(root.rights[0].ID, path, 1)
	Expect(err).NotTo(HaveOccurred())
	Expect(a.code).To(BeZero(), "look-up of %s", path)
	Expect(a.rights).To(HaveLen(1))
	Expect(a.rights[0].Kind).To(Equal(rights.Send), "look-up of %s: %q", path, a.text())
	return a.rights[0].ID
}

// restart ends the netmsg of a node, which init starts again, and waits until all others
// have a session with it again.
func restart(ctx SpecContext, node int) {
	GinkgoHelper()
	was := epoch(ctx, node)
	nodes.Kill(ctx, node, "netmsg serve")
	Eventually(ctx, func() string { return field(try(ctx, node, "netmsg status").Stdout, "epoch ") }).Should(And(Not(BeEmpty()), Not(Equal(was))))
	for other := 1; other <= 3; other++ {
		if other != node {
			nodes.Mounted(ctx, other, node)
			nodes.Mounted(ctx, node, other)
		}
	}
}

// epoch is that of a node's netmsg.
func epoch(ctx SpecContext, node int) string {
	GinkgoHelper()
	return field(on(ctx, node, "netmsg status"), "epoch ")
}

// field is the word that follows a text.
func field(text, after string) string {
	_, rest, ok := strings.Cut(text, after)
	if !ok {
		return ""
	}
	f := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\n' || r == ',' || r == ';' })
	if len(f) == 0 {
		return ""
	}
	return f[0]
}
