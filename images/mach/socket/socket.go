// Package socket serves Internet sockets to programs, by the Hurd's socket
// protocol, on the node's network stack (package ipstack). Programs find it at
// /servers/socket/2. In a Hurd this room is pfinet's.
//
// There are three kinds of objects: the server, which makes sockets; sockets,
// which are io objects as well; and addresses. A request that has to wait
// (accept, connect, read, write, receive, send) is answered later, and holds up
// only others of its direction at that socket. interrupt_operation answers
// those that wait.
//
// The facts are from the reference document hurd-protocol.md: sections 6
// (sockets), 5.2 (io), 5.13 (errors).
package socket

import (
	"context"
	"encoding/binary"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
)

// Path is where programs find the server: its number is PF_INET's.
const Path = "/servers/socket/2"

// MaxSockets bounds the sockets of a node. A connection's buffers can take
// half a megabyte each way.
const MaxSockets = 1024

// Routines of the socket protocol.
const (
	socketCreate    = 26000
	socketListen    = 26001
	socketAccept    = 26002
	socketConnect   = 26003
	socketBind      = 26004
	socketName      = 26005
	socketPeerName  = 26006
	createAddress   = 26008
	whatIsAddress   = 26010
	socketShutdown  = 26011
	socketGetOpt    = 26012
	socketSetOpt    = 26013
	socketSend      = 26014
	socketRecv      = 26015
	ioSelectTimeout = 21031
)

const (
	afInet     = 2
	sockStream = 1
	sockDgram  = 2

	msgPeek     = 0x02
	msgTrunc    = 0x10
	msgDontWait = 0x80
)

// What the two directions of a socket wait for.
const (
	inEvents  = waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp
	outEvents = waiter.WritableEvents | waiter.EventErr | waiter.EventHUp
)

// A Server makes sockets. Its Handle is the server's port.
type Server struct {
	stack  *stack.Stack
	export ports.Exporter
	// deferReply is mach.Defer, except in tests.
	deferReply func(req *mach.Message) hurdio.Answer
	release    func(mach.Port)
	sockets    atomic.Int32

	mu        sync.Mutex
	addresses map[mach.Port]tcpip.FullAddress // of the address objects
}

// NewServer returns a server on a network stack.
func NewServer(s *stack.Stack, x ports.Exporter) *Server {
	return &Server{
		stack: s, export: x, addresses: make(map[mach.Port]tcpip.FullAddress),
		deferReply: func(req *mach.Message) hurdio.Answer { return mach.Defer(req) },
		release: func(p mach.Port) {
			if p.Valid() {
				_ = mach.Deallocate(p) // it is ours; if it is dead, so be it
			}
		},
	}
}

// Handle answers at the server's port.
func (s *Server) Handle(_ context.Context, req, reply *mach.Message) error {
	switch req.ID() {
	case socketCreate:
		typ, proto := req.TakeInt32(), req.TakeInt32()
		if req.End() != nil {
			return mach.MigBadArguments
		}
		return s.create(typ, proto, reply)
	case createAddress:
		return s.createAddress(req, reply)
	case hurdio.Stat:
		hurdio.PutStat(reply, store.Info{Mode: fs.ModeSocket | 0o666})
		return req.End()
	}
	return mach.MigBadID
}

func (s *Server) create(typ, proto int32, reply *mach.Message) error {
	var number tcpip.TransportProtocolNumber
	switch {
	case typ == sockStream && (proto == 0 || proto == int32(tcp.ProtocolNumber)):
		number = tcp.ProtocolNumber
	case typ == sockDgram && (proto == 0 || proto == int32(udp.ProtocolNumber)):
		number = udp.ProtocolNumber
	case typ == sockStream || typ == sockDgram:
		return eProtoNoSupport
	default:
		return eSockTNoSupport
	}
	wq := new(waiter.Queue)
	ep, terr := s.stack.NewEndpoint(number, ipv4.ProtocolNumber, wq)
	if terr != nil {
		return code(terr)
	}
	port, err := s.newSocket(ep, wq, number == tcp.ProtocolNumber)
	if err != nil {
		return err
	}
	reply.PutRight(port, mach.MoveSend)
	return nil
}

// newSocket exports an endpoint, which it closes if it fails.
func (s *Server) newSocket(ep tcpip.Endpoint, wq *waiter.Queue, stream bool) (mach.Port, error) {
	if s.sockets.Add(1) > MaxSockets {
		s.sockets.Add(-1)
		ep.Close()
		return mach.Null, eNFile
	}
	k := &socket{server: s, ep: ep, wq: wq, stream: stream, cancel: make(chan struct{})}
	k.in = newLine(s.deferReply, wq, inEvents)
	k.out = newLine(s.deferReply, wq, outEvents)
	port, err := s.export.Export(k, k.gone)
	if err != nil {
		s.sockets.Add(-1)
		ep.Close()
	}
	return port, err
}

// createAddress makes an address object.
func (s *Server) createAddress(req, reply *mach.Message) error {
	family, data := req.TakeInt32(), req.TakeData(-1)
	if req.End() != nil {
		return mach.MigBadArguments
	}
	if family != afInet && family != 0 {
		return eAFNoSupport
	}
	a, ok := decode(data)
	if !ok {
		return hurdio.EINVAL
	}
	port, err := s.newAddress(a)
	if err != nil {
		return err
	}
	reply.PutRight(port, mach.MoveSend)
	return nil
}

// newAddress exports an address.
func (s *Server) newAddress(a tcpip.FullAddress) (mach.Port, error) {
	o := &addressObject{server: s, addr: a}
	port, err := s.export.Export(o, o.gone)
	if err != nil {
		return mach.Null, err
	}
	// Before the right is given away: nobody can have asked for it yet.
	o.port = port
	s.mu.Lock()
	s.addresses[port] = a
	s.mu.Unlock()
	return port, nil
}

// takeAddress takes an address object from a request. ok is false if it is
// null.
func (s *Server) takeAddress(req *mach.Message) (a tcpip.FullAddress, ok bool, err error) {
	port := req.TakeSend()
	if req.Err() != nil {
		return a, false, mach.MigBadArguments
	}
	if !port.Valid() {
		return a, false, nil
	}
	defer s.release(port)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok = s.addresses[port]
	if !ok {
		return a, false, hurdio.EINVAL // not an address of this server's
	}
	return a, true, nil
}

// An addressObject is an address that a program holds.
type addressObject struct {
	server *Server
	addr   tcpip.FullAddress
	port   mach.Port
}

func (o *addressObject) gone() {
	o.server.mu.Lock()
	delete(o.server.addresses, o.port)
	o.server.mu.Unlock()
}

func (o *addressObject) Handle(_ context.Context, req, reply *mach.Message) error {
	if req.ID() != whatIsAddress {
		return mach.MigBadID
	}
	reply.PutInt32(afInet)
	reply.PutData(mach.Char, encode(o.addr))
	return req.End()
}

// sockaddrSize is the size of an IPv4 socket address: length, family, port
// (big endian), address, 8 unused bytes.
const sockaddrSize = 16

func encode(a tcpip.FullAddress) []byte {
	b := make([]byte, sockaddrSize)
	b[0], b[1] = sockaddrSize, afInet
	binary.BigEndian.PutUint16(b[2:], a.Port)
	if a.Addr.Len() == 4 {
		ip := a.Addr.As4()
		copy(b[4:], ip[:])
	}
	return b
}

func decode(b []byte) (a tcpip.FullAddress, ok bool) {
	if len(b) < 8 || b[1] != afInet {
		return a, false
	}
	a.Port = binary.BigEndian.Uint16(b[2:])
	// All zeros mean any address, which is the empty one here.
	if ip := [4]byte(b[4:8]); ip != [4]byte{} {
		a.Addr = tcpip.AddrFrom4(ip)
	}
	return a, true
}

// A socket is an endpoint that a program holds: [mach.Handler].
type socket struct {
	server *Server
	ep     tcpip.Endpoint
	wq     *waiter.Queue
	stream bool
	in     *line // accept, read, receive
	out    *line // connect, write, send

	// Of the goroutine that serves the port. cancel is closed when requests
	// that wait are to be given up, and replaced.
	nonblock bool
	cancel   chan struct{}

	buf []byte // for what is received; of line in

	// The address of the last datagram, and a send right to its object: most
	// datagrams come from where the one before came from. Of line in.
	lastFrom tcpip.FullAddress
	lastPort mach.Port
}

func (k *socket) gone() {
	k.interrupt()
	k.ep.Close()
	k.server.release(k.lastPort)
	k.server.sockets.Add(-1)
}

// Handle answers a request.
func (k *socket) Handle(_ context.Context, req, reply *mach.Message) error {
	var op func(req, reply *mach.Message) error
	switch req.ID() {
	case hurdio.Read:
		op = k.read
	case hurdio.Write:
		op = k.write
	case socketRecv:
		op = k.recv
	case socketSend:
		op = k.send
	case socketAccept:
		op = k.accept
	case socketConnect:
		op = k.connect
	case socketListen:
		op = k.listen
	case socketBind:
		op = k.bind
	case socketName:
		op = func(_, reply *mach.Message) error { return k.name(reply, k.ep.GetLocalAddress) }
	case socketPeerName:
		op = func(_, reply *mach.Message) error { return k.name(reply, k.ep.GetRemoteAddress) }
	case socketShutdown:
		op = k.shutdown
	case socketGetOpt:
		op = k.getOpt
	case socketSetOpt:
		op = k.setOpt
	case createAddress:
		return k.server.createAddress(req, reply)
	case hurdio.Select, ioSelectTimeout:
		op = k.selectReady
	case hurdio.Readable:
		op = k.readable
	case hurdio.Stat:
		op = func(_, reply *mach.Message) error {
			hurdio.PutStat(reply, store.Info{Mode: fs.ModeSocket | 0o666})
			return nil
		}
	case hurdio.Seek:
		return hurdio.ESPIPE
	case hurdio.GetOpenModes:
		op = k.getModes
	case hurdio.SetAllOpenModes, hurdio.SetSomeOpenModes, hurdio.ClearSomeOpenMode:
		op = k.setModes
	case hurdio.Interrupt:
		op = func(_, _ *mach.Message) error {
			k.interrupt()
			return nil
		}
	default:
		return mach.MigBadID
	}
	if err := op(req, reply); err != nil {
		return err
	}
	if req.End() != nil {
		return mach.MigBadArguments
	}
	return nil
}

// interrupt answers all requests that wait.
func (k *socket) interrupt() {
	close(k.cancel)
	k.cancel = make(chan struct{})
	k.in.interrupt()
	k.out.interrupt()
}

func (k *socket) listen(req, _ *mach.Message) error {
	backlog := req.TakeInt32()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return code(k.ep.Listen(int(max(backlog, 1))))
}

func (k *socket) bind(req, _ *mach.Message) error {
	a, ok, err := k.server.takeAddress(req)
	if err != nil {
		return err
	}
	if !ok {
		return eAddrNotAvail
	}
	return code(k.ep.Bind(a))
}

func (k *socket) name(reply *mach.Message, get func() (tcpip.FullAddress, tcpip.Error)) error {
	a, terr := get()
	if terr != nil {
		return code(terr)
	}
	port, err := k.server.newAddress(a)
	if err != nil {
		return err
	}
	reply.PutRight(port, mach.MoveSend)
	return nil
}

func (k *socket) shutdown(req, _ *mach.Message) error {
	direction := req.TakeInt32()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	how := map[int32]tcpip.ShutdownFlags{0: tcpip.ShutdownRead, 1: tcpip.ShutdownWrite, 2: tcpip.ShutdownRead | tcpip.ShutdownWrite}[direction]
	if how == 0 {
		return hurdio.EINVAL
	}
	return code(k.ep.Shutdown(how))
}

func (k *socket) accept(req, reply *mach.Message) error {
	return k.in.do(req, reply, k.nonblock, nil, func(reply *mach.Message) error {
		var from tcpip.FullAddress
		ep, wq, terr := k.ep.Accept(&from)
		if terr != nil {
			return code(terr)
		}
		conn, err := k.server.newSocket(ep, wq, true)
		if err != nil {
			return err
		}
		addr, err := k.server.newAddress(from)
		if err != nil {
			k.server.release(conn)
			return err
		}
		reply.PutRight(conn, mach.MoveSend)
		reply.PutRight(addr, mach.MoveSend)
		return nil
	})
}

func (k *socket) connect(req, reply *mach.Message) error {
	a, ok, err := k.server.takeAddress(req)
	if err != nil {
		return err
	}
	if !ok {
		return eDestAddrReq
	}
	if !k.stream {
		return code(k.ep.Connect(a))
	}
	switch terr := k.ep.Connect(a); terr.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectStarted:
		if k.nonblock {
			return eInProgress
		}
	case *tcpip.ErrAlreadyConnecting:
		return eAlready
	default:
		return code(terr)
	}
	return k.out.do(req, reply, false, nil, func(*mach.Message) error {
		if k.ep.Readiness(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp) == 0 {
			return hurdio.EAGAIN
		}
		return code(k.ep.LastError())
	})
}

func (k *socket) read(req, reply *mach.Message) error {
	req.TakeInt64() // sockets have no offsets
	n := req.TakeWord()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return k.in.do(req, reply, k.nonblock, nil, func(reply *mach.Message) error {
		b, _, err := k.receive(int(min(n, hurdio.MaxRead)), false)
		if err != nil {
			return err
		}
		return hurdio.PutData(reply, b)
	})
}

// receive takes what there is, n bytes at most; nothing is the end. The bytes
// are good until the next call.
func (k *socket) receive(n int, peek bool) ([]byte, tcpip.ReadResult, error) {
	if len(k.buf) < n {
		k.buf = make([]byte, n)
	}
	b := k.buf[:n]
	w := tcpip.SliceWriter(b)
	res, terr := k.ep.Read(&w, tcpip.ReadOptions{Peek: peek, NeedRemoteAddr: !k.stream})
	if _, ok := terr.(*tcpip.ErrClosedForReceive); ok {
		return nil, res, nil
	}
	if terr != nil {
		return nil, res, code(terr)
	}
	return b[:res.Count], res, nil
}

func (k *socket) recv(req, reply *mach.Message) error {
	flags, n := req.TakeInt32(), req.TakeWord()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return k.in.do(req, reply, k.nonblock || flags&msgDontWait != 0, nil, func(reply *mach.Message) error {
		b, res, err := k.receive(int(min(n, hurdio.MaxRead)), flags&msgPeek != 0)
		if err != nil {
			return err
		}
		if err := k.putFrom(reply, res); err != nil {
			return err
		}
		if err := hurdio.PutData(reply, b); err != nil {
			return err
		}
		out := int32(0)
		if !k.stream && res.Total > len(b) {
			out = msgTrunc
		}
		reply.PutRights(nil, mach.MoveSend)
		reply.PutData(mach.Char, nil) // control
		reply.PutInt32(out)
		return nil
	})
}

// putFrom appends the address object of where data came from.
func (k *socket) putFrom(reply *mach.Message, res tcpip.ReadResult) error {
	if k.stream {
		reply.PutRight(mach.Null, mach.MoveSend)
		return nil
	}
	from := tcpip.FullAddress{Addr: res.RemoteAddr.Addr, Port: res.RemoteAddr.Port}
	if from != k.lastFrom || !k.lastPort.Valid() {
		port, err := k.server.newAddress(from)
		if err != nil {
			return err
		}
		k.server.release(k.lastPort)
		k.lastFrom, k.lastPort = from, port
	}
	reply.PutRight(k.lastPort, mach.CopySend)
	return nil
}

func (k *socket) write(req, reply *mach.Message) error {
	data := req.TakeData(-1)
	req.TakeInt64()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return k.transmit(req, reply, data, tcpip.WriteOptions{}, k.nonblock)
}

func (k *socket) send(req, reply *mach.Message) error {
	a, ok, err := k.server.takeAddress(req)
	if err != nil {
		return err
	}
	flags, data := req.TakeInt32(), req.TakeData(-1)
	rights, typ := req.TakeRights(-1)
	for _, p := range rights {
		if typ == mach.MoveSend || typ == mach.MoveSendOnce {
			k.server.release(p)
		}
	}
	control := req.TakeData(-1)
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	if len(rights) > 0 || len(control) > 0 {
		return hurdio.EINVAL
	}
	var opts tcpip.WriteOptions
	if ok && !k.stream {
		opts.To = &a
	}
	return k.transmit(req, reply, data, opts, k.nonblock || flags&msgDontWait != 0)
}

// transmit sends as much of data as there is room for.
func (k *socket) transmit(req, reply *mach.Message, data []byte, opts tcpip.WriteOptions, nonblock bool) error {
	// Data lives as long as the request, which ends if it has to wait.
	keep := func() { data = append([]byte(nil), data...) }
	return k.out.do(req, reply, nonblock, keep, func(reply *mach.Message) error {
		n, terr := k.ep.Write(&payload{data}, opts)
		if terr != nil && n == 0 {
			return code(terr)
		}
		reply.PutWord(uint64(n))
		return nil
	})
}

// payload is data for an endpoint to write.
type payload struct{ b []byte }

func (p *payload) Read(b []byte) (int, error) {
	n := copy(b, p.b)
	p.b = p.b[n:]
	return n, nil
}

func (p *payload) Len() int { return len(p.b) }

func (k *socket) readable(_, reply *mach.Message) error {
	n, terr := k.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if terr != nil {
		return code(terr)
	}
	reply.PutWord(uint64(n))
	return nil
}

func (k *socket) getModes(_, reply *mach.Message) error {
	modes := int32(hurdio.ORead | hurdio.OWrite)
	if k.nonblock {
		modes |= hurdio.ONonblock
	}
	reply.PutInt32(modes)
	return nil
}

func (k *socket) setModes(req, _ *mach.Message) error {
	bits := req.TakeInt32()&hurdio.ONonblock != 0
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	switch {
	case req.ID() == hurdio.SetAllOpenModes:
		k.nonblock = bits
	case bits:
		k.nonblock = req.ID() == hurdio.SetSomeOpenModes
	}
	return nil
}

// selectReady waits until the socket can do one of what is asked for.
func (k *socket) selectReady(req, reply *mach.Message) error {
	var expired <-chan time.Time
	if req.ID() == ioSelectTimeout {
		ts := req.TakeWords(2) // seconds and nanoseconds of the wall clock
		if len(ts) != 2 {
			return mach.MigBadArguments
		}
		t := time.NewTimer(time.Until(time.Unix(int64(int32(ts[0])), int64(int32(ts[1])))))
		expired = t.C
	}
	want := req.TakeInt32()
	if req.End() != nil {
		return mach.MigBadArguments
	}
	var mask waiter.EventMask
	if want&hurdio.SelectRead != 0 {
		mask |= inEvents
	}
	if want&hurdio.SelectWrite != 0 {
		mask |= outEvents
	}
	if got := k.ready(want); got != 0 {
		reply.PutInt32(got)
		return nil
	}
	a, cancel := k.server.deferReply(req), k.cancel
	go func() {
		e, changed := waiter.NewChannelEntry(mask)
		k.wq.EventRegister(&e)
		defer k.wq.EventUnregister(&e)
		for {
			got := k.ready(want)
			if got == 0 {
				select {
				case <-changed:
					continue
				case <-expired: // says that nothing is ready
				case <-cancel:
					a.Fail(hurdio.EINTR)
					return
				}
			}
			m := a.NewReply()
			m.PutInt32(got)
			a.Send(m)
			return
		}
	}()
	return mach.NoReply
}

// ready returns what of want the socket can do without waiting.
func (k *socket) ready(want int32) (got int32) {
	now := k.ep.Readiness(inEvents | outEvents)
	if now&inEvents != 0 {
		got |= hurdio.SelectRead
	}
	if now&outEvents != 0 {
		got |= hurdio.SelectWrite
	}
	return got & want
}
