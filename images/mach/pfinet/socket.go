package pfinet

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
)

// maxRead is the most that is received at once, in bytes.
const maxRead = 64 << 10

// reservedPorts are the ports that only root can bind to: those below.
const reservedPorts = 1024

// What the two directions of a socket wait for.
const (
	inEvents  = waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp
	outEvents = waiter.WritableEvents | waiter.EventErr | waiter.EventHUp
)

// An object is an endpoint with ports: [ioport.Object].
type object struct {
	server *Server
	ep     tcpip.Endpoint
	wq     *waiter.Queue
	typ    int32
	number tcpip.TransportProtocolNumber
	id     uint64

	users atomic.Int32
	state ioport.State

	// remote is what a raw socket is connected to, which its endpoint does not
	// tell.
	remote atomic.Pointer[tcpip.FullAddress]

	// The port of the address that the last datagram came from, and a right to
	// it: most come from where the one before came from.
	fromMu    sync.Mutex
	from      tcpip.FullAddress
	fromPort  ports.Port
	fromRight mach.Port
}

// Serve serves one more port.
func (o *object) Serve(c *ioport.Client) []any {
	o.users.Add(1)
	return []any{&socket{Client: c, family: o.server.family(c.User), object: o, State: &o.state}}
}

// Release closes the endpoint with the last port.
func (o *object) Release() {
	if o.users.Add(-1) > 0 {
		return
	}
	o.ep.Close()
	s := o.server
	s.mu.Lock()
	delete(s.sockets, o)
	s.mu.Unlock()
	s.host.Export.Release(o.fromRight)
}

func (o *object) stream() bool { return o.typ == proto.SOCK_STREAM }

// wait does what try does, when it can be done: as long as the error is
// EAGAIN it waits for events.
func (o *object) wait(ctx context.Context, events waiter.EventMask, nonblock bool, try func() error) error {
	again := func(err error) bool { return errors.Is(err, proto.EAGAIN) }
	if err := try(); !again(err) || nonblock {
		return err
	}
	e, changed := waiter.NewChannelEntry(events)
	o.wq.EventRegister(&e)
	defer o.wq.EventUnregister(&e)
	for {
		if err := try(); !again(err) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A socket serves one port of an object.
type socket struct {
	*ioport.Client
	*ioport.State
	family
	*object
}

// SocketCreate is the server's.
func (k *socket) SocketCreate(context.Context, int32, int32) (mach.Port, error) {
	return mach.Null, proto.EOPNOTSUPP
}

// server of both the family and the object.
func (k *socket) srv() *Server { return k.object.server }

func (k *socket) SocketListen(_ context.Context, backlog int32) error {
	return code(k.ep.Listen(int(max(backlog, 1))))
}

func (k *socket) SocketBind(_ context.Context, addr mach.Port) error {
	a, ok, err := k.srv().address(addr)
	switch {
	case err != nil:
		return err
	case !ok:
		return proto.EADDRNOTAVAIL
	case a.Port != 0 && a.Port < reservedPorts && !k.User.IsRoot():
		return proto.EACCES
	}
	if err := code(k.ep.Bind(a)); err != nil {
		return err
	}
	k.srv().host.Export.Release(addr)
	return nil
}

func (k *socket) SocketName(context.Context) (mach.Port, error) { return k.name(k.ep.GetLocalAddress) }

func (k *socket) SocketPeername(context.Context) (mach.Port, error) {
	return k.name(k.remoteAddress)
}

func (o *object) remoteAddress() (tcpip.FullAddress, tcpip.Error) {
	if a := o.remote.Load(); a != nil {
		return *a, nil
	}
	return o.ep.GetRemoteAddress()
}

func (k *socket) name(get func() (tcpip.FullAddress, tcpip.Error)) (mach.Port, error) {
	a, terr := get()
	if terr != nil {
		return mach.Null, code(terr)
	}
	return k.srv().openAddress(a)
}

func (k *socket) SocketShutdown(_ context.Context, how int32) error {
	switch how {
	case proto.SHUT_RD:
		return code(k.ep.Shutdown(tcpip.ShutdownRead))
	case proto.SHUT_WR:
		return code(k.ep.Shutdown(tcpip.ShutdownWrite))
	case proto.SHUT_RDWR:
		return code(k.ep.Shutdown(tcpip.ShutdownRead | tcpip.ShutdownWrite))
	}
	return proto.EINVAL
}

func (k *socket) SocketAccept(ctx context.Context) (conn, peer mach.Port, err error) {
	s := k.srv()
	err = k.wait(ctx, inEvents, k.Nonblock(), func() error {
		var from tcpip.FullAddress
		ep, wq, terr := k.ep.Accept(&from)
		if terr != nil {
			return code(terr)
		}
		if conn, err = s.open(ep, wq, k.typ, k.number, k.User); err != nil {
			return err
		}
		if peer, err = s.openAddress(from); err != nil {
			s.host.Export.Release(conn)
		}
		return err
	})
	if err != nil {
		return mach.Null, mach.Null, err
	}
	return conn, peer, nil
}

func (k *socket) SocketConnect(ctx context.Context, addr mach.Port) error {
	a, ok, err := k.srv().address(addr)
	if err != nil {
		return err
	}
	if !ok {
		return proto.EDESTADDRREQ
	}
	if err := k.connect(ctx, a); err != nil {
		return err
	}
	k.srv().host.Export.Release(addr)
	return nil
}

func (k *socket) connect(ctx context.Context, a tcpip.FullAddress) error {
	terr := k.ep.Connect(a)
	if terr == nil && k.typ == proto.SOCK_RAW {
		k.remote.Store(&a)
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); !started || k.Nonblock() {
		return code(terr)
	}
	return k.wait(ctx, outEvents, false, func() error {
		if k.ep.Readiness(outEvents) == 0 {
			return proto.EAGAIN
		}
		return code(k.ep.LastError())
	})
}

// receive takes what there is, n bytes at most; nothing is the end.
func (o *object) receive(n int, peek bool) ([]byte, tcpip.ReadResult, error) {
	there, terr := o.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if terr != nil {
		return nil, tcpip.ReadResult{}, code(terr)
	}
	if there == 0 {
		// An end, an error, or nothing. What comes in this moment must find
		// room if it is a datagram.
		if there = 512; !o.stream() {
			if o.ep.Readiness(inEvents) == 0 {
				return nil, tcpip.ReadResult{}, proto.EAGAIN
			}
			there = maxRead
		}
	}
	b := make([]byte, min(n, there, maxRead))
	w := tcpip.SliceWriter(b)
	res, terr := o.ep.Read(&w, tcpip.ReadOptions{Peek: peek, NeedRemoteAddr: !o.stream()})
	switch terr.(type) {
	case nil:
	case *tcpip.ErrClosedForReceive:
		return nil, res, nil
	case *tcpip.ErrBadBuffer: // no room for a datagram at all
	default:
		return nil, res, code(terr)
	}
	if o.stream() {
		o.ep.ModerateRecvBuf(res.Count)
	}
	return b[:min(res.Count, len(b))], res, nil
}

func (k *socket) IORead(ctx context.Context, _ int64, amount uint64) (b []byte, err error) {
	if amount == 0 && k.stream() {
		return nil, nil
	}
	err = k.wait(ctx, inEvents, k.Nonblock(), func() (err error) {
		b, _, err = k.receive(int(min(amount, maxRead)), false)
		return err
	})
	return b, err
}

func (k *socket) SocketRecv(ctx context.Context, flags int32, amount uint64) (from mach.Port, data []byte, _ []mach.Port, control []byte, out int32, err error) {
	if flags&proto.MSG_OOB != 0 {
		return from, nil, nil, nil, 0, proto.EINVAL
	}
	n := int(min(amount, maxRead))
	var res tcpip.ReadResult
	for {
		var b []byte
		err = k.wait(ctx, inEvents, k.Nonblock() || flags&proto.MSG_DONTWAIT != 0, func() (err error) {
			b, res, err = k.receive(n-len(data), flags&proto.MSG_PEEK != 0)
			return err
		})
		data = append(data, b...)
		all := k.stream() && flags&(proto.MSG_WAITALL|proto.MSG_PEEK) == proto.MSG_WAITALL
		if !all || err != nil || len(b) == 0 || len(data) == n {
			break
		}
	}
	if err != nil && len(data) == 0 {
		return from, nil, nil, nil, 0, err
	}
	if k.stream() {
		return mach.Null, data, nil, nil, 0, nil
	}
	if res.Total > len(data) {
		out |= proto.MSG_TRUNC
	}
	from, err = k.source(tcpip.FullAddress{Addr: res.RemoteAddr.Addr, Port: res.RemoteAddr.Port})
	if err != nil {
		from = mach.Null // the data must not be lost for it
	}
	return from, data, nil, nil, out, nil
}

// source returns a right to an object for where a datagram came from.
func (o *object) source(a tcpip.FullAddress) (mach.Port, error) {
	o.fromMu.Lock()
	defer o.fromMu.Unlock()
	if o.fromPort == nil || a != o.from {
		h := o.server.host
		p, right, err := h.Port(&address{addr: a}, translator.User{})
		if err != nil {
			return mach.Null, err
		}
		h.Export.Release(o.fromRight)
		o.from, o.fromPort, o.fromRight = a, p, right
	}
	return o.fromPort.Right()
}

func (k *socket) IOWrite(ctx context.Context, data []byte, _ int64) (uint64, error) {
	return k.transmit(ctx, data, tcpip.WriteOptions{}, k.Nonblock())
}

func (k *socket) SocketSend(ctx context.Context, addr mach.Port, flags int32, data []byte, rights []mach.Port, control []byte) (uint64, error) {
	a, ok, err := k.srv().address(addr)
	if err != nil {
		return 0, err
	}
	if len(rights) > 0 || len(control) > 0 {
		return 0, proto.EINVAL
	}
	if flags&proto.MSG_OOB != 0 {
		return 0, proto.EOPNOTSUPP
	}
	var opts tcpip.WriteOptions
	if ok && !k.stream() {
		opts.To = &a
	}
	n, err := k.transmit(ctx, data, opts, k.Nonblock() || flags&proto.MSG_DONTWAIT != 0)
	if err == nil {
		k.srv().host.Export.Release(addr)
	}
	return n, err
}

// transmit sends as much of data as there is room for.
func (o *object) transmit(ctx context.Context, data []byte, opts tcpip.WriteOptions, nonblock bool) (n uint64, err error) {
	err = o.wait(ctx, outEvents, nonblock, func() error {
		sent, terr := o.ep.Write(&payload{data}, opts)
		if terr != nil && sent == 0 {
			return code(terr)
		}
		n = uint64(sent)
		return nil
	})
	return n, err
}

// payload is data for an endpoint to write.
type payload struct{ b []byte }

func (p *payload) Read(b []byte) (int, error) {
	n := copy(b, p.b)
	p.b = p.b[n:]
	return n, nil
}

func (p *payload) Len() int { return len(p.b) }

func (k *socket) IOReadable(context.Context) (uint64, error) {
	n, terr := k.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	return uint64(n), code(terr)
}

func (k *socket) IOGetOpenmodes(context.Context) (int32, error) {
	return k.Openmodes(proto.O_READ | proto.O_WRITE), nil
}

// IOSelect waits until the socket can do one of what is asked for.
func (k *socket) IOSelect(ctx context.Context, want int32) (got int32, err error) {
	var events waiter.EventMask
	if want&proto.SelectRead != 0 {
		events |= inEvents
	}
	if want&proto.SelectWrite != 0 {
		events |= outEvents
	}
	if events == 0 {
		return 0, nil
	}
	err = k.wait(ctx, events, false, func() error {
		if got = k.ready(want); got == 0 {
			return proto.EAGAIN
		}
		return nil
	})
	return got, err
}

// IOSelectTimeout is IOSelect until a time of the wall clock: then, nothing is
// ready.
func (k *socket) IOSelectTimeout(ctx context.Context, t proto.Timespec, want int32) (int32, error) {
	return ioport.SelectUntil(ctx, t, want, k.IOSelect)
}

// ready returns what of want the socket can do without waiting.
func (o *object) ready(want int32) (got int32) {
	now := o.ep.Readiness(inEvents | outEvents)
	if now&inEvents != 0 {
		got |= proto.SelectRead
	}
	if now&outEvents != 0 {
		got |= proto.SelectWrite
	}
	return got & want
}

func (k *socket) IOStat(context.Context) (proto.Stat, error) {
	return proto.Stat{
		FSType: proto.FSTypeSocket, FSID: uint64(os.Getpid()), Ino: k.id, Mode: proto.S_IFSOCK | 0o666, Nlink: 1, Blksize: 4096,
	}, nil
}

func (k *socket) IOIdentity(context.Context) (id, fsid mach.Port, fileno int64, err error) {
	return k.Identity(k.State, k.id)
}
