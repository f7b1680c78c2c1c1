package pflocal

import (
	"context"
	"sync"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
)

// MaxSockets bounds the sockets of a server, those included that wait to be
// accepted. A pipe takes two.
const MaxSockets = 2048

// MaxBacklog bounds the connections that wait at a listening socket.
const MaxBacklog = 128

// A Kind is a type of sockets, as socket_create names them.
type Kind int32

const (
	Stream    Kind = 1
	Datagram  Kind = 2
	SeqPacket Kind = 5 // a connection that keeps the borders of messages
)

func (k Kind) connects() bool { return k != Datagram }

// A Server has all sockets of its family. It makes no ports: see Ports.
type Server struct {
	release func(mach.Port) // gives up a right that nobody received

	mu       sync.Mutex
	sockets  map[*Socket]struct{}
	queued   int // bytes in all queues
	inFlight int // rights in all queues
	floating int // open sockets that only rights in flight refer to
	lastID   uint64
}

// NewServer returns a server without sockets. release gives up a send right
// that was in a message which nobody received.
func NewServer(release func(mach.Port)) *Server {
	return &Server{release: release, sockets: make(map[*Socket]struct{})}
}

// An Address is what a socket can be bound to. It has no meaning but itself:
// what programs call the address of a local socket is the name of a file, and
// that file's server has the Address.
type Address struct {
	// Name is what a program said it is, for others to see: the path of the
	// file, or nothing. It is set once.
	Name []byte

	sock *Socket // bound to it, or nil
}

// NameOf returns the name of an address.
func (s *Server) NameOf(a *Address) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.Name
}

// SetName gives an address a name, unless it has one.
func (s *Server) SetName(a *Address, name []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(a.Name) > 0 {
		return false
	}
	a.Name = name
	return true
}

// A Socket is one end of a connection, or may become one, or a place to
// connect to.
type Socket struct {
	server *Server
	kind   Kind
	id     uint64
	made   time.Time
	state  ioport.State

	// The server's lock protects the rest.
	addr    *Address
	in, out *queue
	peer    *Socket // the other end; of a datagram socket, where it sends to
	shut    [2]bool // reading, writing: by this end
	closed  bool

	listening bool
	backlog   int
	pending   []*Socket // ends of connections that wait to be accepted

	users    int  // ports that programs may have
	inFlight int  // rights on their way
	marked   bool // by collect

	changed signal // connected, listening, closed, a new connection waits
}

// NewSocket makes a socket that has one user.
func (s *Server) NewSocket(kind Kind) (*Socket, error) {
	if kind != Stream && kind != Datagram && kind != SeqPacket {
		return nil, proto.ESOCKTNOSUPPORT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.newSocket(kind)
	if err != nil {
		return nil, err
	}
	k.users = 1
	return k, nil
}

func (s *Server) newSocket(kind Kind) (*Socket, error) {
	if len(s.sockets) >= MaxSockets {
		return nil, proto.ENFILE
	}
	s.lastID++
	k := &Socket{server: s, kind: kind, id: s.lastID, made: time.Now()}
	if kind == Datagram {
		k.in = &queue{server: s}
	}
	s.sockets[k] = struct{}{}
	return k, nil
}

// Use adds a user, as when the socket is duplicated.
func (k *Socket) Use() {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	k.use()
}

func (k *Socket) use() {
	if k.users == 0 && k.inFlight > 0 && !k.closed {
		k.server.floating--
	}
	k.users++
}

// Unuse takes a user away. A socket that nobody has and that is on its way to
// nobody is closed.
func (k *Socket) Unuse() {
	s := k.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.users--; k.users > 0 {
		return
	}
	if k.inFlight > 0 {
		s.floating++
	} else {
		k.close()
	}
	s.collect()
}

// close ends the socket. Its peer reads what is on its way to it, and the end.
func (k *Socket) close() {
	if k.closed {
		return
	}
	k.closed = true
	if k.users == 0 && k.inFlight > 0 {
		k.server.floating--
	}
	delete(k.server.sockets, k)
	if k.addr != nil {
		k.addr.sock = nil
	}
	k.in.refuse()
	if k.kind.connects() {
		k.out.end()
		if k.peer != nil {
			k.peer.changed.broadcast()
		}
	}
	pending := k.pending
	k.pending, k.listening = nil, false
	for _, c := range pending {
		c.close()
	}
	k.changed.broadcast()
}

// shutdown ends one direction or both.
func (k *Socket) Shutdown(read, write bool) error {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	if k.kind.connects() && k.peer == nil {
		return proto.ENOTCONN
	}
	if read {
		k.shut[0] = true
		k.in.refuse()
	}
	if write {
		k.shut[1] = true
		if k.kind.connects() {
			k.out.end()
		}
	}
	k.changed.broadcast()
	k.server.collect()
	return nil
}

// Pair connects two sockets that are not connected to each other, or one to
// itself.
func (s *Server) Pair(a, b *Socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.kind != b.kind {
		return proto.EPROTOTYPE
	}
	if a.peer != nil || b.peer != nil {
		return proto.EISCONN
	}
	if a.closed || b.closed || a.listening || b.listening {
		return proto.EINVAL
	}
	join(a, b)
	return nil
}

// join connects a and b.
func join(a, b *Socket) {
	for _, k := range []*Socket{a, b} {
		if k.in == nil {
			k.in = &queue{server: k.server, stream: k.kind == Stream}
		}
	}
	a.out, b.out = b.in, a.in
	a.peer, b.peer = b, a
	a.changed.broadcast()
	b.changed.broadcast()
}

// Bind binds the socket to an address.
func (k *Socket) Bind(a *Address) error {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	if k.addr != nil || k.closed {
		return proto.EINVAL
	}
	if a.sock != nil {
		return proto.EADDRINUSE
	}
	k.addr, a.sock = a, k
	return nil
}

// Address returns the socket's address, with one made for it if it has none.
func (k *Socket) Address() *Address {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	return k.address()
}

func (k *Socket) address() *Address {
	if k.addr == nil {
		k.addr = &Address{sock: k}
	}
	return k.addr
}

// PeerAddress returns the address of the other end.
func (k *Socket) PeerAddress() (*Address, error) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	if k.peer == nil {
		return nil, proto.ENOTCONN
	}
	return k.peer.address(), nil
}

// Listen lets others connect to the socket, backlog of them before they have
// to wait.
func (k *Socket) Listen(backlog int) error {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	switch {
	case !k.kind.connects():
		return proto.EOPNOTSUPP
	case k.peer != nil || k.closed:
		return proto.EINVAL
	}
	k.listening = true
	k.backlog = min(max(backlog, 1), MaxBacklog)
	k.changed.broadcast()
	return nil
}

// Connect connects the socket to the one that is bound to a. It waits while
// too many wait there already, unless the socket does not wait.
func (k *Socket) Connect(ctx context.Context, a *Address) error {
	s := k.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		to := a.sock
		switch {
		case k.closed:
			return proto.EINTR
		case to == nil || to.closed:
			return proto.ECONNREFUSED
		case to.kind != k.kind:
			return proto.EPROTOTYPE
		case k.kind == Datagram:
			k.peer, k.out = to, to.in
			return nil
		case k.listening:
			return proto.EOPNOTSUPP
		case k.peer != nil:
			return proto.EISCONN
		case !to.listening:
			return proto.ECONNREFUSED
		}
		if len(to.pending) < to.backlog {
			conn, err := s.newSocket(k.kind)
			if err != nil {
				return err
			}
			// Under the name of the place that it is at.
			conn.addr = &Address{Name: to.addr.Name, sock: conn}
			join(k, conn)
			to.pending = append(to.pending, conn)
			to.changed.broadcast()
			return nil
		}
		if k.state.Nonblock() {
			return proto.EAGAIN
		}
		if err := s.wait(ctx, &k.changed, &to.changed); err != nil {
			return err
		}
	}
}

// Accept returns the next connection, which has one user.
func (k *Socket) Accept(ctx context.Context) (*Socket, error) {
	s := k.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if !k.listening {
			return nil, proto.EINVAL
		}
		if len(k.pending) > 0 {
			conn := k.pending[0]
			k.pending = k.pending[1:]
			conn.use()
			k.changed.broadcast()
			return conn, nil
		}
		if k.state.Nonblock() {
			return nil, proto.EAGAIN
		}
		if err := s.wait(ctx, &k.changed); err != nil {
			return nil, err
		}
	}
}

// wait gives up the lock until one of the signals comes or ctx ends.
func (s *Server) wait(ctx context.Context, on ...*signal) error {
	var c [3]<-chan struct{}
	for i, sig := range on {
		if sig != nil {
			c[i] = sig.wait()
		}
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-c[0]:
	case <-c[1]:
	case <-c[2]:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// signal is the queue's, also of none.
func (q *queue) signal() *signal {
	if q == nil {
		return nil
	}
	return &q.changed
}

// A Message is what is sent or received at once.
type Message struct {
	Data    []byte
	Rights  []Right
	Control []byte
	From    *Address // of a datagram; nil if its sender has none
	Cut     bool     // the rest of the datagram is lost
}

// Send sends the data, the rights and the control data of m, to the socket
// that it is connected to or to another, and returns how much of the data was
// taken. All of m is the server's if it succeeds; if not, it is the caller's.
func (k *Socket) Send(ctx context.Context, m Message, to *Address, dontWait bool) (int, error) {
	if len(m.Rights) > maxRights || len(m.Control) > maxControl {
		return 0, proto.EMSGSIZE
	}
	if k.kind != Stream && len(m.Data) > queueLimit {
		return 0, proto.EMSGSIZE
	}
	s := k.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight+len(m.Rights) > maxRightsInFlight {
		return 0, proto.ETOOMANYREFS
	}
	for _, r := range m.Rights {
		if r.Socket != nil {
			// While the message waits it is a message of this server's, with
			// the right to its own socket in it. Nobody may have another.
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, maxHold, proto.ENOBUFS)
			defer cancel()
			break
		}
	}
	s.fly(m.Rights)
	n, err := k.send(ctx, packet{data: m.Data, rights: m.Rights, control: m.Control}, to, dontWait)
	if err != nil {
		s.land(m.Rights)
		s.collect()
		return 0, err
	}
	return n, nil
}

func (k *Socket) send(ctx context.Context, p packet, to *Address, dontWait bool) (int, error) {
	s := k.server
	for {
		q := k.out
		switch {
		case k.closed:
			return 0, proto.EINTR
		case k.shut[1]:
			return 0, proto.EPIPE
		case k.kind == Datagram && to != nil:
			if to.sock == nil || to.sock.closed {
				return 0, proto.ECONNREFUSED
			}
			if to.sock.kind != Datagram {
				return 0, proto.EPROTOTYPE
			}
			q = to.sock.in
		case to != nil && k.peer != nil:
			return 0, proto.EISCONN
		case k.kind == Datagram && k.peer == nil:
			return 0, proto.EDESTADDRREQ
		case k.peer == nil:
			return 0, proto.ENOTCONN
		}
		if q.refuses {
			if k.kind == Datagram {
				return 0, proto.ECONNREFUSED
			}
			return 0, proto.EPIPE
		}
		if k.kind == Stream && len(p.data) == 0 {
			s.discard(p.rights) // rights travel with a byte, or not at all
			return 0, nil
		}
		if n := q.room(len(p.data), !q.stream); n > 0 || len(p.data) == 0 && len(q.packets) < maxPackets {
			p.data = p.data[:n]
			if k.kind == Datagram {
				p.from = k.addr
			}
			q.put(p)
			return n, nil
		}
		if k.state.Nonblock() || dontWait {
			return 0, proto.EAGAIN
		}
		if err := s.wait(ctx, &q.changed, &k.changed); err != nil {
			return 0, err
		}
	}
}

// A How says how to receive.
type How struct{ Peek, DontWait, All bool }

// Receive takes up to n bytes, or one packet, waiting for it. No data is the
// end of a stream. The rights are the caller's; a socket among them has one
// more user.
func (k *Socket) Receive(ctx context.Context, n int, how How) (m Message, err error) {
	s := k.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		p, cut, err := k.receive(ctx, n-len(m.Data), how)
		if err != nil {
			if len(m.Data) > 0 { // of All
				return m, nil
			}
			return m, err
		}
		if len(m.Data) == 0 {
			m.Data = p.data
		} else {
			m.Data = append(m.Data, p.data...)
		}
		m.From, m.Cut = p.from, cut
		if m.Control = p.control; how.Peek {
			m.Control = nil
		}
		for _, r := range p.rights {
			if r.Socket != nil {
				r.Socket.use()
			}
		}
		m.Rights = p.rights
		s.land(p.rights)
		if !how.All || how.Peek || k.kind != Stream || len(p.data) == 0 || len(m.Data) == n || len(p.rights) > 0 {
			return m, nil
		}
	}
}

func (k *Socket) receive(ctx context.Context, n int, how How) (p packet, cut bool, err error) {
	for {
		q := k.in
		switch {
		case k.closed:
			return p, false, proto.EINTR
		case q == nil && k.listening:
			return p, false, proto.EINVAL
		case q == nil:
			return p, false, proto.ENOTCONN
		case k.shut[0], n == 0 && q.stream:
			return p, false, nil
		case len(q.packets) > 0:
			p, cut = q.get(n, !how.Peek)
			return p, cut, nil
		case q.ended:
			return p, false, nil
		}
		if k.state.Nonblock() || how.DontWait {
			return p, false, proto.EAGAIN
		}
		if err := k.server.wait(ctx, &q.changed, &k.changed); err != nil {
			return p, false, err
		}
	}
}

// Select waits until the socket can do one of want without waiting, or until
// expired.
func (k *Socket) Select(ctx context.Context, want int32) (int32, error) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	for {
		if got := k.ready() & want; got != 0 || want == 0 {
			return got, nil
		}
		if err := k.server.wait(ctx, &k.changed, k.in.signal(), k.out.signal()); err != nil {
			return 0, err
		}
	}
}

// ready is what can be done without waiting, for better or worse.
func (k *Socket) ready() (got int32) {
	switch {
	case k.closed, k.shut[0]:
		got |= proto.SelectRead
	case k.listening:
		if len(k.pending) > 0 {
			got |= proto.SelectRead
		}
	case k.in == nil: // not connected: an error at once
		got |= proto.SelectRead
	case len(k.in.packets) > 0 || k.in.ended:
		got |= proto.SelectRead
	}
	switch {
	case k.closed, k.shut[1]:
		got |= proto.SelectWrite
	case k.listening:
	case k.out == nil: // not connected: an error at once
		got |= proto.SelectWrite
	case k.out.refuses || k.out.room(atomicWrite, !k.out.stream) > 0:
		got |= proto.SelectWrite
	}
	return got
}

// Readable returns how many bytes can be read without waiting.
func (k *Socket) Readable() (int, error) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	switch {
	case k.in == nil && !k.listening:
		return 0, proto.ENOTCONN
	case k.in == nil || len(k.in.packets) == 0:
		return 0, nil
	case k.in.stream:
		return k.in.size, nil
	}
	return len(k.in.packets[0].data), nil
}

// Modes returns whether the socket can be read and written: one that is shut
// in one direction is the end of a pipe.
func (k *Socket) Modes() (read, write bool) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	read, write = !k.shut[0], !k.shut[1]
	if k.kind.connects() && k.peer != nil {
		// An end whose peer does not read, or not write, is none either.
		write = write && !k.peer.shut[0]
		read = read && !k.peer.shut[1]
	}
	return read, write
}

// Listening tells whether others can connect to the socket.
func (k *Socket) Listening() bool {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	return k.listening
}
