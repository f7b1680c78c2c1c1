package pflocal

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
)

// Ports gives the sockets of a Server to programs.
type Ports struct {
	server *Server
	host   *ioport.Host
}

// NewPorts returns a socket server without sockets.
func NewPorts(h *ioport.Host) *Ports {
	p := &Ports{host: h}
	p.server = NewServer(func(r mach.Port) { h.Export.Release(r) })
	return p
}

// Stat is the node of the server: [translator.Node].
func (p *Ports) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Mode: proto.S_IFSOCK | 0o666}, nil
}

// Protocols is what is served at the node: [translator.Protocols].
func (p *Ports) Protocols(user translator.User, _ int32) []any {
	return []any{&family{ports: p, user: user}}
}

// A family makes sockets and addresses for a user.
type family struct {
	proto.UnimplementedSocket
	ports *Ports
	user  translator.User
}

// SocketCreate makes a socket.
func (f *family) SocketCreate(_ context.Context, typ, protocol int32) (mach.Port, error) {
	if protocol != 0 {
		return mach.Null, proto.EPROTONOSUPPORT
	}
	k, err := f.ports.server.NewSocket(Kind(typ))
	if err != nil {
		return mach.Null, err
	}
	defer k.Unuse() // the port is another user
	return f.ports.open(k, f.user)
}

// SocketFabricateAddress makes an address without a name.
func (f *family) SocketFabricateAddress(_ context.Context, family int32) (mach.Port, error) {
	if family != proto.PF_LOCAL && family != 0 {
		return mach.Null, proto.EAFNOSUPPORT
	}
	return f.ports.openAddress(&Address{})
}

// SocketCreateAddress makes an address with a name, which others see who ask
// where data is from. The Hurd's own server has no such addresses: there,
// names of local sockets are all files'.
func (f *family) SocketCreateAddress(_ context.Context, family int32, sockaddr []byte) (mach.Port, error) {
	if family != proto.PF_LOCAL {
		return mach.Null, proto.EAFNOSUPPORT
	}
	name, ok := decode(sockaddr)
	if !ok {
		return mach.Null, proto.EINVAL
	}
	return f.ports.openAddress(&Address{Name: name})
}

// maxName is the length of the longest name of an address, in bytes, as
// programs' structures have room for it.
const maxName = 108

// encode returns a socket address as programs know it: its length, its
// family, the name with a zero byte.
func encode(name []byte) []byte {
	b := append([]byte{0, proto.PF_LOCAL}, name...)
	b = append(b, 0)
	b[0] = byte(len(b))
	return b
}

func decode(b []byte) (name []byte, ok bool) {
	if len(b) < 2 || b[1] != proto.PF_LOCAL {
		return nil, false
	}
	name = b[2:]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return name, len(name) <= maxName
}

// An address is an Address as an object with a port.
type address struct {
	proto.UnimplementedSocket
	*Address
	ports *Ports
}

func (a *address) Serve(c *ioport.Client) []any { return []any{a, c} }

func (a *address) Release() {}

// SocketWhatisAddress tells the name.
func (a *address) SocketWhatisAddress(context.Context) (int32, []byte, error) {
	return proto.PF_LOCAL, encode(a.ports.server.NameOf(a.Address)), nil
}

// SocketCreateAddress gives an address that has none a name. Who binds a
// socket to a file can so tell others the file's name, which its server has not
// told us. The result is the same address.
func (a *address) SocketCreateAddress(_ context.Context, family int32, sockaddr []byte) (mach.Port, error) {
	name, ok := decode(sockaddr)
	if family != proto.PF_LOCAL || !ok {
		return mach.Null, proto.EINVAL
	}
	if !a.ports.server.SetName(a.Address, name) {
		return mach.Null, proto.EADDRINUSE
	}
	return a.ports.openAddress(a.Address)
}

func (p *Ports) openAddress(a *Address) (mach.Port, error) {
	return p.host.Open(&address{Address: a, ports: p}, translator.User{})
}

// address returns the address behind a right, or nil behind none.
func (p *Ports) address(port mach.Port) (*Address, error) {
	if !port.Valid() {
		return nil, nil
	}
	if c, ok := p.host.Client(port); ok {
		if a, ok := c.Object.(*address); ok {
			return a.Address, nil
		}
	}
	return nil, proto.EINVAL
}

// open makes a port of a socket.
func (p *Ports) open(k *Socket, user translator.User) (mach.Port, error) {
	return p.host.Open(&object{ports: p, sock: k}, user)
}

// An object is a socket as an object with ports.
type object struct {
	ports *Ports
	sock  *Socket
}

func (o *object) Serve(c *ioport.Client) []any {
	o.sock.Use()
	return []any{&socket{Client: c, family: family{ports: o.ports, user: c.User}, Socket: o.sock, State: &o.sock.state}}
}

func (o *object) Release() { o.sock.Unuse() }

// A socket serves one port of a Socket.
type socket struct {
	*ioport.Client
	*ioport.State
	family
	*Socket
}

// SocketCreate is the server's.
func (k *socket) SocketCreate(context.Context, int32, int32) (mach.Port, error) {
	return mach.Null, proto.EOPNOTSUPP
}

func (k *socket) SocketListen(_ context.Context, backlog int32) error {
	return k.Listen(int(backlog))
}

func (k *socket) SocketAccept(ctx context.Context) (conn, peer mach.Port, err error) {
	c, err := k.Accept(ctx)
	if err != nil {
		return mach.Null, mach.Null, err
	}
	defer c.Unuse() // the port is another user
	a, err := c.PeerAddress()
	if err != nil {
		return mach.Null, mach.Null, err
	}
	if peer, err = k.ports.openAddress(a); err != nil {
		return mach.Null, mach.Null, err
	}
	if conn, err = k.ports.open(c, k.User); err != nil {
		k.ports.host.Export.Release(peer)
		return mach.Null, mach.Null, err
	}
	return conn, peer, nil
}

func (k *socket) SocketConnect(ctx context.Context, addr mach.Port) error {
	a, err := k.ports.address(addr)
	if err != nil {
		return err
	}
	if a == nil {
		return proto.EADDRNOTAVAIL
	}
	if err := k.Connect(ctx, a); err != nil {
		return err
	}
	k.ports.host.Export.Release(addr)
	return nil
}

func (k *socket) SocketBind(ctx context.Context, addr mach.Port) error {
	a, err := k.ports.address(addr)
	if err != nil {
		return err
	}
	if a == nil {
		return proto.EADDRNOTAVAIL
	}
	if err := k.Bind(a); err != nil {
		return err
	}
	k.ports.host.Export.Release(addr)
	return nil
}

func (k *socket) SocketName(context.Context) (mach.Port, error) {
	return k.ports.openAddress(k.Address())
}

func (k *socket) SocketPeername(context.Context) (mach.Port, error) {
	a, err := k.PeerAddress()
	if err != nil {
		return mach.Null, err
	}
	return k.ports.openAddress(a)
}

func (k *socket) SocketConnect2(ctx context.Context, sock2 mach.Port) error {
	c, ok := k.ports.host.Client(sock2)
	if !ok {
		return proto.EINVAL
	}
	o, ok := c.Object.(*object)
	if !ok {
		return proto.EINVAL
	}
	if err := k.ports.server.Pair(k.Socket, o.sock); err != nil {
		return err
	}
	k.ports.host.Export.Release(sock2)
	return nil
}

func (k *socket) SocketShutdown(_ context.Context, how int32) error {
	switch how {
	case proto.SHUT_RD, proto.SHUT_WR, proto.SHUT_RDWR:
		return k.Shutdown(how != proto.SHUT_WR, how != proto.SHUT_RD)
	}
	return proto.EINVAL
}

// Options of level SOL_SOCKET, as the Hurd's C library numbers them.
const (
	solSocket    = 0xffff
	soAcceptConn = 0x2
	soSndBuf     = 0x1001
	soRcvBuf     = 0x1002
	soError      = 0x1007
	soType       = 0x1008
	soLast       = 0x1013
)

// SocketGetopt tells the value of an option, 32 bits.
func (k *socket) SocketGetopt(_ context.Context, level, option int32) ([]byte, error) {
	if level != solSocket {
		return nil, proto.ENOPROTOOPT
	}
	v := uint32(0)
	switch option {
	case soType:
		v = uint32(k.kind)
	case soSndBuf, soRcvBuf:
		v = queueLimit
	case soAcceptConn:
		if k.Listening() {
			v = 1
		}
	case soError:
	default:
		return nil, proto.ENOPROTOOPT
	}
	return binary.LittleEndian.AppendUint32(nil, v), nil
}

// SocketSetopt accepts the general options: none of them makes a difference.
func (k *socket) SocketSetopt(_ context.Context, level, option int32, value []byte) error {
	if level != solSocket || option <= 0 || option > soLast || option == soError || option == soType {
		return proto.ENOPROTOOPT
	}
	if len(value) < 4 {
		return proto.EINVAL
	}
	return nil
}

func (k *socket) SocketSend(ctx context.Context, addr mach.Port, flags int32, data []byte, rights []mach.Port, control []byte) (uint64, error) {
	if flags&proto.MSG_OOB != 0 {
		return 0, proto.EOPNOTSUPP
	}
	to, err := k.ports.address(addr)
	if err != nil {
		return 0, err
	}
	m := Message{Data: data, Control: control}
	for _, p := range rights {
		r := Right{Port: p}
		if c, ok := k.ports.host.Client(p); ok {
			if o, ok := c.Object.(*object); ok {
				r = Right{Socket: o.sock, User: c.User}
			}
		}
		m.Rights = append(m.Rights, r)
	}
	n, err := k.Send(ctx, m, to, flags&proto.MSG_DONTWAIT != 0)
	if err != nil {
		return 0, err
	}
	for i, r := range m.Rights {
		if r.Socket != nil {
			k.ports.host.Export.Release(rights[i])
		}
	}
	k.ports.host.Export.Release(addr)
	return uint64(n), nil
}

func (k *socket) SocketRecv(ctx context.Context, flags int32, amount uint64) (from mach.Port, data []byte, rights []mach.Port, control []byte, out int32, err error) {
	if flags&proto.MSG_OOB != 0 {
		return from, nil, nil, nil, 0, proto.EINVAL
	}
	m, err := k.Receive(ctx, int(min(amount, 1<<30)), How{
		Peek:     flags&proto.MSG_PEEK != 0,
		DontWait: flags&proto.MSG_DONTWAIT != 0,
		All:      flags&proto.MSG_WAITALL != 0,
	})
	if err != nil {
		return from, nil, nil, nil, 0, err
	}
	if m.Cut {
		out |= proto.MSG_TRUNC
	}
	if m.From != nil {
		if from, err = k.ports.openAddress(m.From); err != nil {
			from = mach.Null // the data must not be lost for it
		}
	}
	for _, r := range m.Rights {
		p := r.Port
		if r.Socket != nil {
			if p, err = k.ports.open(r.Socket, r.User); err != nil {
				p, out = mach.Null, out|proto.MSG_CTRUNC
			}
			r.Socket.Unuse() // the port is another user
		}
		rights = append(rights, p)
	}
	return from, m.Data, rights, m.Control, out, nil
}

func (k *socket) IORead(ctx context.Context, _ int64, amount uint64) ([]byte, error) {
	m, err := k.Receive(ctx, int(min(amount, 1<<30)), How{})
	if err != nil {
		return nil, err
	}
	// Whoever reads does not want rights.
	for _, r := range m.Rights {
		if r.Socket != nil {
			r.Socket.Unuse()
		} else {
			k.ports.host.Export.Release(r.Port)
		}
	}
	return m.Data, nil
}

func (k *socket) IOWrite(ctx context.Context, data []byte, _ int64) (uint64, error) {
	n, err := k.Send(ctx, Message{Data: data}, nil, false)
	return uint64(n), err
}

func (k *socket) IOReadable(context.Context) (uint64, error) {
	n, err := k.Readable()
	return uint64(n), err
}

func (k *socket) IOGetOpenmodes(context.Context) (bits int32, err error) {
	read, write := k.Modes()
	if read {
		bits |= proto.O_READ
	}
	if write {
		bits |= proto.O_WRITE
	}
	return k.Openmodes(bits), nil
}

func (k *socket) IOSelect(ctx context.Context, want int32) (int32, error) {
	return k.Select(ctx, want)
}

// IOSelectTimeout is IOSelect until a time of the wall clock: then, nothing is
// ready.
func (k *socket) IOSelectTimeout(ctx context.Context, t proto.Timespec, want int32) (int32, error) {
	return ioport.SelectUntil(ctx, t, want, k.Select)
}

// IOStat tells a socket, or a pipe.
func (k *socket) IOStat(context.Context) (proto.Stat, error) {
	read, write := k.Modes()
	mode := uint32(proto.S_IFSOCK | 0o666)
	if read != write {
		mode = proto.S_IFIFO | 0o600
	}
	size, _ := k.Readable() // of what is not connected, nothing
	t := proto.Timespec{Sec: k.made.Unix(), Nsec: int64(k.made.Nanosecond())}
	return proto.Stat{
		FSType: proto.FSTypeSocket, FSID: uint64(os.Getpid()), Ino: k.id, Mode: mode, Nlink: 1,
		Size: int64(size), Atime: t, Mtime: t, Ctime: t, Blksize: 4096,
	}, nil
}

func (k *socket) IOIdentity(context.Context) (id, fsid mach.Port, fileno int64, err error) {
	return k.Identity(k.State, k.id)
}
