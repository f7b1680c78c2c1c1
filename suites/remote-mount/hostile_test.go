package remotemount

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/transport"
	"hurdlab/netmsg/wire"
	"hurdlab/suites/internal/harness"
)

// maxNetmsg is the most memory, in kB, that node1's netmsg may have whatever a peer
// does: what it has by itself, and what one session may make it keep.
const maxNetmsg = 64 << 10

var _ = Describe("a peer with a key that wants no good", Ordered, ContinueOnFailure, func() {
	guarded()

	var (
		g      *gang
		before state
		pid    int
		good   func() (string, lab.Exit)
	)

	BeforeAll(func(ctx SpecContext) {
		g = admit(ctx, 1)
		on(ctx, 1, "rm -rf /tmp/good; mkdir /tmp/good; echo good > /tmp/good/x")
		on(ctx, 3, "rm -f /tmp/go; mountload open -n 20 /n/node1/tmp/good/x")
		r := g.intrude(ctx)
		r.open("/", "etc/hostname")
		r.conn.Close()
		gone(ctx)
		before = stateOf(ctx, 1)
		pid = harness.Pid(ctx, l.Nodes()[0], "netmsg serve")
		// A good peer's mount is in use all the time.
		always, stop := context.WithCancel(context.Background())
		DeferCleanup(stop)
		good = start(always, 3, "mountload churn -n 3 /n/node1/tmp/good/x")
	})

	AfterAll(func(ctx SpecContext) {
		on(ctx, 3, "touch /tmp/go")
		out, exit := good()
		on(ctx, 3, "rm /tmp/go")
		AddReportEntry("the good peer", out)
		Expect(exit.Ok()).To(BeTrue(), "%s", out)
		Expect(harness.Pid(ctx, l.Nodes()[0], "netmsg serve")).To(Equal(pid))
		var now state
		DeferCleanup(func(ctx SpecContext) {
			if CurrentSpecReport().Failed() {
				AddReportEntry("ports of node1's netmsg", on(ctx, 1, fmt.Sprintf("portinfo -v %d", pid)))
			}
		})
		Eventually(ctx, func() string { now = stateOf(ctx, 1); return before.more(now, keptPorts, 1) }).WithTimeout(time.Minute).Should(BeEmpty())
		AddReportEntry("node1", before.figures(now, 1))
		Expect(before.memoryMore(now, 16<<10, 1)).To(BeEmpty())
	})

	// bounded wants node1's netmsg to have no more memory than it may.
	bounded := func(ctx SpecContext) {
		GinkgoHelper()
		_, b := harness.Count(ctx, l.Nodes()[0]).Task("netmsg serve")
		AddReportEntry("memory of node1's netmsg", fmt.Sprintf("%d kB, %d ports", b.Resident, b.Ports))
		Expect(b.Resident).To(And(BeNumerically(">", 0), BeNumerically("<", maxNetmsg)))
	}

	DescribeTable("is told what was wrong, and is gone",
		func(ctx SpecContext, say func(*rogue), code rights.Code, rule string) {
			mark := console(ctx)
			r := g.intrude(ctx)
			say(r)
			end := r.closed()
			Expect(end.Code).To(Equal(code), "%v", end)
			Expect(end.Rule).To(Equal(rule), "%v", end)
			Expect(end.Text).NotTo(BeEmpty())
			gone(ctx)
			Expect(console(ctx)[len(mark):]).To(ContainSubstring(end.Text))
		},
		Entry("garbage", SpecTimeout(time.Minute), func(r *rogue) { r.write([]byte("garbage, and more of it\r\n\r\n")) }, rights.CodeLimit, "B1"),
		Entry("garbage in a frame", SpecTimeout(time.Minute), func(r *rogue) { r.write(frame([]byte("\x05garbage, and more of it")...)) }, rights.CodeProtocol, "S4"),
		Entry("a frame of nothing", SpecTimeout(time.Minute), func(r *rogue) { r.write(frame()) }, rights.CodeProtocol, "S4"),
		Entry("a record that is cut off", SpecTimeout(time.Minute), func(r *rogue) {
			rec := r.message(r.door, idDoorInfo, r.right(), nil)
			b, _ := r.codec.Append(nil, &rec)
			r.write(frame(b[wire.FrameHeader : len(b)-3]...))
		}, rights.CodeProtocol, "S4"),
		Entry("a record with something after it", SpecTimeout(time.Minute), func(r *rogue) {
			r.write(frame(0x04, 5, 0))
		}, rights.CodeProtocol, "S4"),
		Entry("a long frame", SpecTimeout(time.Minute), func(r *rogue) { r.write([]byte{0xff, 0xff, 0xff, 0x7f}) }, rights.CodeLimit, "B1"),
		Entry("the longest frame, half of it", SpecTimeout(time.Minute), func(r *rogue) {
			b := binary.LittleEndian.AppendUint32(nil, uint32(wire.Limits{}.MaxFrame())+1)
			r.write(append(b, make([]byte, 1<<20)...))
		}, rights.CodeLimit, "B1"),
		Entry("more rights than a message has", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(r.message(r.door, 1, 0, func(m *machwire.Message) { m.PutRights(r.many(1025), machwire.MoveSend) }))
		}, rights.CodeLimit, "B1"),
		Entry("a message to what it does not hold", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(r.message(rights.ID{Origin: r.codec.Peer, Num: 1 << 40}, 1, 0, nil))
		}, rights.CodeProtocol, "B2"),
		Entry("a message to a right of another epoch", SpecTimeout(time.Minute), func(r *rogue) {
			id := r.door
			id.Origin.Epoch++
			r.say(r.message(id, idDoorInfo, r.right(), nil))
		}, rights.CodeProtocol, "B2"),
		Entry("a right of the node's that it does not hold", SpecTimeout(time.Minute), func(r *rogue) {
			rec := r.message(r.door, 1, 0, func(m *machwire.Message) { m.PutRight(r.right(), machwire.MoveSend) })
			rec.Message.Rights[0] = rights.Right{Kind: rights.Send, ID: rights.ID{Origin: r.codec.Peer, Num: 1 << 40}}
			r.say(rec)
		}, rights.CodeProtocol, "B2"),
		Entry("a release of what it does not hold", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(rights.Record{Type: rights.RecRelease, ID: rights.ID{Origin: r.codec.Peer, Num: 1 << 40}, N: 1})
		}, rights.CodeProtocol, "C5"),
		Entry("a release of more than it holds", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(rights.Record{Type: rights.RecRelease, ID: r.door, N: 2})
		}, rights.CodeProtocol, "C5"),
		Entry("a release of what it has released", SpecTimeout(time.Minute), func(r *rogue) {
			rec := rights.Record{Type: rights.RecRelease, ID: r.door, N: 1}
			r.say(rec, rec)
		}, rights.CodeProtocol, "C5"),
		Entry("a message to what it has released", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(rights.Record{Type: rights.RecRelease, ID: r.door, N: 1}, r.message(r.door, idDoorInfo, r.right(), nil))
		}, rights.CodeProtocol, "B2"),
		Entry("a confirmation of what was not sent", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(rights.Record{Type: rights.RecDelivered, ID: r.door, N: 1})
		}, rights.CodeProtocol, "F1"),
		Entry("an answer to what was not claimed", SpecTimeout(time.Minute), func(r *rogue) {
			r.say(rights.Record{Type: rights.RecClaimed, ID: r.door})
		}, rights.CodeProtocol, "B2"),
		Entry("one send-once right twice", SpecTimeout(time.Minute), func(r *rogue) {
			once := r.right()
			r.say(r.message(r.door, idDoorInfo, once, nil), r.message(r.door, idDoorInfo, once, nil))
		}, rights.CodeProtocol, "H6"),
		Entry("a flood of messages", SpecTimeout(time.Minute), func(r *rogue) {
			var list []rights.Record
			for range 64 {
				list = append(list, r.message(r.door, idDoorInfo, r.right(), nil))
			}
			for range 8 {
				r.say(list...)
			}
		}, rights.CodeProtocol, "F5"),
	)

	DescribeTable("does not get a session by a bad greeting",
		func(ctx SpecContext, change func(*wire.Greeting), code rights.Code) {
			r, err := g.dial(ctx)
			Expect(err).NotTo(HaveOccurred())
			defer r.conn.Close()
			hello := r.greeting()
			change(&hello)
			b, err := wire.AppendGreeting(nil, &hello)
			Expect(err).NotTo(HaveOccurred())
			r.write(b)
			Expect(r.closed().Code).To(Equal(code))
			gone(ctx)
		},
		Entry("of another node", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.Node.Node = "node3" }, rights.CodeProtocol),
		Entry("for another node", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.To = "node2" }, rights.CodeProtocol),
		Entry("of the node itself", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.Node.Node = "node1" }, rights.CodeProtocol),
		Entry("of a later version", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.MinVersion, h.MaxVersion = 7, 9 }, rights.CodeVersion),
		Entry("that takes too little", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.Message = 1000 }, rights.CodeLimit),
		Entry("with a window of nothing", SpecTimeout(time.Minute), func(h *wire.Greeting) { h.Window = 0 }, rights.CodeProtocol),
	)

	It("does not become another incarnation's heir", func(ctx SpecContext) {
		// A right of the rogue of before, one of the node's own that never was, and one
		// of the node's before it was started: all are dead, and nobody is harmed.
		r := g.intrude(ctx)
		old := r.codec.Self
		r.open("/", "etc/hostname")
		r = g.intrude(ctx)
		for _, id := range []rights.ID{
			{Origin: old, Num: 1}, {Origin: r.codec.Peer, Num: 1 << 40}, {Origin: rights.Incarnation{Node: r.codec.Peer.Node, Epoch: 3}, Num: 1},
		} {
			rec := r.message(r.door, idDoorInfo, r.right(), func(m *machwire.Message) { m.PutRight(r.right(), machwire.MoveSend) })
			rec.Message.Rights[1].ID = id
			r.say(rec)
			for {
				rec, err := r.record()
				Expect(err).NotTo(HaveOccurred())
				if rec.Type == rights.RecRelease && rec.ID == id {
					break // given back at once
				}
			}
		}
		a, err := r.call(r.door, idDoorInfo, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.code).To(BeZero())
	}, SpecTimeout(time.Minute))

	It("sends floods of rights, within the limits: they are given back", func(ctx SpecContext) {
		r := g.intrude(ctx)
		for range 10 {
			_, err := r.call(r.door, 99_999, func(m *machwire.Message) { m.PutRights(r.many(1000), machwire.MoveSend) })
			Expect(err).NotTo(HaveOccurred())
		}
		bounded(ctx)
		Eventually(ctx, func() int { return tableOf(ctx, 1).imports }).Should(BeNumerically("<", 100))
	}, SpecTimeout(5*time.Minute))

	It("sends floods of large messages: they are bounded", func(ctx SpecContext) {
		r := g.intrude(ctx)
		for range 10 {
			_, err := r.call(r.door, 99_999, func(m *machwire.Message) { m.PutOOLData(machwire.Char, make([]byte, 900<<10)) })
			Expect(err).NotTo(HaveOccurred())
		}
		bounded(ctx)
	}, SpecTimeout(5*time.Minute))

	It("leaves rights with a server that keeps them: they go with the session", func(ctx SpecContext) {
		r := g.intrude(ctx)
		dir := r.open("/", "tmp/good")
		kept := 0
		for range 5000 {
			a, err := r.call(dir, idDirNoticeChanges, func(m *machwire.Message) { m.PutRight(r.right(), machwire.MoveSend) })
			Expect(err).NotTo(HaveOccurred())
			if a.code != 0 {
				break // the server has a bound of its own
			}
			kept++
		}
		t := tableOf(ctx, 1)
		AddReportEntry("kept", fmt.Sprint(t))
		Expect(kept).To(BeNumerically(">", 0))
		Expect(t.imports).To(BeNumerically(">=", kept))
		bounded(ctx)
		r.conn.Close()
		gone(ctx)
		// A file system looks at what it was given when there is a change.
		on(ctx, 1, "touch /tmp/good/y; rm /tmp/good/y")
		Eventually(ctx, func() int { return tableOf(ctx, 1).imports }).Should(BeNumerically("<", 100))
	}, SpecTimeout(10*time.Minute))

	It("sends rights of a third node that are none: nobody else is harmed", func(ctx SpecContext) {
		at, err := parseEpoch(epoch(ctx, 3))
		Expect(err).NotTo(HaveOccurred())
		r := g.intrude(ctx)
		rec := r.message(r.door, 99_999, r.right(), func(m *machwire.Message) { m.PutRights(r.many(1000), machwire.MoveSend) })
		for i := range rec.Message.Rights[1:] {
			rec.Message.Rights[1+i].ID = rights.ID{Origin: rights.Incarnation{Node: "node3", Epoch: at}, Num: uint64(i)<<20 + 1<<40}
		}
		r.say(rec)
		for {
			x, err := r.record()
			Expect(err).NotTo(HaveOccurred())
			if x.Type == rights.RecMessage && x.Once {
				break // it has been asked for, is dead, and the message has been delivered
			}
		}
		bounded(ctx)
	}, SpecTimeout(5*time.Minute))

	It("reads nothing of what it asks for: it is given up", func(ctx SpecContext) {
		mark := console(ctx)
		r := g.intrude(ctx)
		// As many requests as there may be without a confirmation, for as much as the node
		// has memory: 8 of 512 kB of each of 40 rights. Rule W1: most are not delivered.
		var all []rights.Record
		root := r.open("/", "", 0)
		for range 40 {
			a, err := r.lookup(root, "bin/mountload", 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(a.code).To(BeZero())
			for range 8 {
				all = append(all, r.message(a.rights[0].ID, idIORead, r.right(), func(m *machwire.Message) { m.PutInt64(0); m.PutWord(512 << 10) }))
			}
		}
		r.say(all...)
		// It goes on to speak, or that would be what is wrong with it.
		speaking, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			for n := uint64(1); speaking.Err() == nil; n++ {
				r.write(wire.AppendControl(nil, wire.Ping{N: n}))
				select {
				case <-speaking.Done():
				case <-time.After(time.Second):
				}
			}
		}()
		most := 0
		Eventually(ctx, func() string {
			_, b := harness.Count(ctx, l.Nodes()[0]).Task("netmsg serve")
			most = max(most, b.Resident)
			return console(ctx)[len(mark):]
		}).WithTimeout(3 * time.Minute).Should(MatchRegexp(`session with rogue/\S+: (\d+ bytes wait to be written: the peer does not read|the peer has read nothing)`))
		r.conn.Close()
		AddReportEntry("memory of node1's netmsg", fmt.Sprintf("at most %d kB", most))
		Expect(most).To(BeNumerically("<", maxNetmsg))
		gone(ctx)
	}, SpecTimeout(5*time.Minute))

	It("says nothing any more, at any point: it is given up", func(ctx SpecContext) {
		address := g.over.Peers[g.node].Addr
		var wg sync.WaitGroup
		// Not even TLS.
		wg.Go(func() {
			defer GinkgoRecover()
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			Expect(err).NotTo(HaveOccurred())
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			_, err = c.Read(make([]byte, 1))
			Expect(err).To(SatisfyAny(MatchError(io.EOF), MatchError(ContainSubstring("reset"))))
		})
		// No greeting, and half of one.
		for _, n := range []int{0, 9} {
			wg.Go(func() {
				defer GinkgoRecover()
				r, err := g.dial(ctx)
				Expect(err).NotTo(HaveOccurred())
				defer r.conn.Close()
				r.write([]byte("netmsg\r\n\x30")[:n])
				Expect(r.closed().Code).To(Equal(rights.CodeTimeout))
			})
		}
		wg.Wait()
		// A session, and then nothing.
		r := g.intrude(ctx)
		Expect(r.closed().Code).To(Equal(rights.CodeTimeout))
		gone(ctx)
	}, SpecTimeout(4*time.Minute))

	It("opens one session after the other, and connections that come to nothing: there is one, and room for others", func(ctx SpecContext) {
		for range 10 {
			g.intrude(ctx)
		}
		Eventually(ctx, func() int { return strings.Count(on(ctx, 1, "netmsg status"), "session with "+rogueName) }).Should(Equal(1))
		var all []net.Conn
		for range 50 {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", g.over.Peers[g.node].Addr)
			Expect(err).NotTo(HaveOccurred())
			all = append(all, c)
		}
		on(ctx, 2, "netmsg reconnect node1")
		nodes.Mounted(ctx, 2, 1)
		for _, c := range all {
			c.Close()
		}
		r := g.intrude(ctx)
		r.conn.Close()
		gone(ctx)
	}, SpecTimeout(3*time.Minute))

	It("does not even get in without a key that is known", func(ctx SpecContext) {
		mark := console(ctx)
		key, err := transport.NewKey()
		Expect(err).NotTo(HaveOccurred())
		_, err = newGang(ctx, 1, key).dial(ctx)
		Expect(errors.Is(err, transport.ErrRefused)).To(BeTrue(), "%v", err)
		Eventually(ctx, func() string { return console(ctx)[len(mark):] }).Should(ContainSubstring("nobody in the list has the key"))
		gone(ctx)
	}, SpecTimeout(4*time.Minute)) // and what is looked at in the end
})

// many are n rights of its own.
func (r *rogue) many(n int) []machwire.Port {
	list := make([]machwire.Port, n)
	for i := range list {
		list[i] = r.right()
	}
	return list
}

// gone waits until node1 has no session with the rogue.
func gone(ctx SpecContext) {
	GinkgoHelper()
	Eventually(ctx, func() string { return on(ctx, 1, "netmsg status") }).ShouldNot(ContainSubstring("session with " + rogueName))
}

// console is what node1's console has said so far.
func console(ctx SpecContext) string {
	GinkgoHelper()
	b, err := l.Nodes()[0].Console()
	Expect(err).NotTo(HaveOccurred())
	return string(b)
}

func parseEpoch(s string) (n uint64, err error) {
	_, err = fmt.Sscanf(s, "%x", &n)
	return n, err
}
