package pfinet

import (
	"context"
	"encoding/binary"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Levels and names of options, as the Hurd's C library numbers them.
const (
	solSocket  = 0xffff
	ipprotoIP  = 0
	ipprotoTCP = 6

	soReuseAddr = 0x4
	soKeepAlive = 0x8
	soBroadcast = 0x20
	soLinger    = 0x80
	soReusePort = 0x200
	soSndBuf    = 0x1001
	soRcvBuf    = 0x1002
	soError     = 0x1007
	soType      = 0x1008

	ipHdrIncl        = 2
	ipTOS            = 3
	ipTTL            = 4
	ipMulticastIf    = 9
	ipMulticastTTL   = 10
	ipMulticastLoop  = 11
	ipAddMembership  = 12
	ipDropMembership = 13

	tcpNoDelay   = 1
	tcpMaxSeg    = 2
	tcpCork      = 3
	tcpKeepIdle  = 4
	tcpKeepIntvl = 5
	tcpKeepCnt   = 6
)

// code translates an error of the network stack. It is nil for nil.
func code(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock:
		return proto.EAGAIN
	case *tcpip.ErrConnectStarted:
		return proto.EINPROGRESS
	case *tcpip.ErrAlreadyConnecting:
		return proto.EALREADY
	case *tcpip.ErrAlreadyConnected:
		return proto.EISCONN
	case *tcpip.ErrNotConnected:
		return proto.ENOTCONN
	case *tcpip.ErrClosedForSend:
		return proto.EPIPE
	case *tcpip.ErrConnectionRefused:
		return proto.ECONNREFUSED
	case *tcpip.ErrConnectionReset:
		return proto.ECONNRESET
	case *tcpip.ErrConnectionAborted, *tcpip.ErrAborted:
		return proto.ECONNABORTED
	case *tcpip.ErrTimeout:
		return proto.ETIMEDOUT
	case *tcpip.ErrHostUnreachable:
		return proto.EHOSTUNREACH
	case *tcpip.ErrHostDown:
		return proto.EHOSTDOWN
	case *tcpip.ErrNetworkUnreachable:
		return proto.ENETUNREACH
	case *tcpip.ErrPortInUse, *tcpip.ErrNoPortAvailable:
		return proto.EADDRINUSE
	case *tcpip.ErrBadLocalAddress, *tcpip.ErrBadAddress:
		return proto.EADDRNOTAVAIL
	case *tcpip.ErrDestinationRequired:
		return proto.EDESTADDRREQ
	case *tcpip.ErrMessageTooLong:
		return proto.EMSGSIZE
	case *tcpip.ErrNoBufferSpace:
		return proto.ENOBUFS
	case *tcpip.ErrUnknownProtocolOption:
		return proto.ENOPROTOOPT
	case *tcpip.ErrUnknownProtocol:
		return proto.EPROTONOSUPPORT
	case *tcpip.ErrNotPermitted, *tcpip.ErrBroadcastDisabled:
		return proto.EACCES
	case *tcpip.ErrNotSupported:
		return proto.EOPNOTSUPP
	}
	return proto.EINVAL
}

// A value is an option of one number: how to get and to set it.
type value struct {
	get func(*object) (int, tcpip.Error)
	set func(*object, int) tcpip.Error
}

// toggle is an option of the stack's that is on or off.
func toggle(get func(*tcpip.SocketOptions) bool, set func(*tcpip.SocketOptions, bool)) value {
	return value{
		func(o *object) (int, tcpip.Error) {
			if get(o.ep.SocketOptions()) {
				return 1, nil
			}
			return 0, nil
		},
		func(o *object, v int) tcpip.Error {
			set(o.ep.SocketOptions(), v != 0)
			return nil
		},
	}
}

// number is an option of the endpoint's that is an integer.
func number(opt tcpip.SockOptInt) value {
	return value{
		func(o *object) (int, tcpip.Error) { return o.ep.GetSockOptInt(opt) },
		func(o *object, v int) tcpip.Error { return o.ep.SetSockOptInt(opt, v) },
	}
}

// values are the options, by level and name.
var values = map[[2]int32]value{
	{solSocket, soReuseAddr}: toggle((*tcpip.SocketOptions).GetReuseAddress, (*tcpip.SocketOptions).SetReuseAddress),
	{solSocket, soReusePort}: toggle((*tcpip.SocketOptions).GetReusePort, (*tcpip.SocketOptions).SetReusePort),
	{solSocket, soKeepAlive}: toggle((*tcpip.SocketOptions).GetKeepAlive, (*tcpip.SocketOptions).SetKeepAlive),
	{solSocket, soBroadcast}: toggle((*tcpip.SocketOptions).GetBroadcast, (*tcpip.SocketOptions).SetBroadcast),
	{solSocket, soSndBuf}: {
		func(o *object) (int, tcpip.Error) { return int(o.ep.SocketOptions().GetSendBufferSize()), nil },
		func(o *object, v int) tcpip.Error {
			o.ep.SocketOptions().SetSendBufferSize(int64(v), true)
			return nil
		},
	},
	{solSocket, soRcvBuf}: {
		func(o *object) (int, tcpip.Error) { return int(o.ep.SocketOptions().GetReceiveBufferSize()), nil },
		func(o *object, v int) tcpip.Error {
			o.ep.SocketOptions().SetReceiveBufferSize(int64(v), true)
			return nil
		},
	},
	{solSocket, soType}: {get: func(o *object) (int, tcpip.Error) { return int(o.typ), nil }},
	{solSocket, soError}: {get: func(o *object) (int, tcpip.Error) {
		n, _ := mach.Code(code(o.ep.LastError())).Errno()
		return int(n), nil
	}},

	{ipprotoIP, ipHdrIncl}:       toggle((*tcpip.SocketOptions).GetHeaderIncluded, (*tcpip.SocketOptions).SetHeaderIncluded),
	{ipprotoIP, ipTTL}:           number(tcpip.IPv4TTLOption),
	{ipprotoIP, ipTOS}:           number(tcpip.IPv4TOSOption),
	{ipprotoIP, ipMulticastTTL}:  number(tcpip.MulticastTTLOption),
	{ipprotoIP, ipMulticastLoop}: toggle((*tcpip.SocketOptions).GetMulticastLoop, (*tcpip.SocketOptions).SetMulticastLoop),

	{ipprotoTCP, tcpNoDelay}: {
		func(o *object) (int, tcpip.Error) {
			if o.ep.SocketOptions().GetDelayOption() {
				return 0, nil
			}
			return 1, nil
		},
		func(o *object, v int) tcpip.Error {
			o.ep.SocketOptions().SetDelayOption(v == 0)
			return nil
		},
	},
	{ipprotoTCP, tcpCork}:    toggle((*tcpip.SocketOptions).GetCorkOption, (*tcpip.SocketOptions).SetCorkOption),
	{ipprotoTCP, tcpMaxSeg}:  number(tcpip.MaxSegOption),
	{ipprotoTCP, tcpKeepCnt}: number(tcpip.KeepaliveCountOption),
	{ipprotoTCP, tcpKeepIdle}: {
		func(o *object) (int, tcpip.Error) {
			var d tcpip.KeepaliveIdleOption
			err := o.ep.GetSockOpt(&d)
			return int(time.Duration(d) / time.Second), err
		},
		func(o *object, v int) tcpip.Error {
			d := tcpip.KeepaliveIdleOption(time.Duration(v) * time.Second)
			return o.ep.SetSockOpt(&d)
		},
	},
	{ipprotoTCP, tcpKeepIntvl}: {
		func(o *object) (int, tcpip.Error) {
			var d tcpip.KeepaliveIntervalOption
			err := o.ep.GetSockOpt(&d)
			return int(time.Duration(d) / time.Second), err
		},
		func(o *object, v int) tcpip.Error {
			d := tcpip.KeepaliveIntervalOption(time.Duration(v) * time.Second)
			return o.ep.SetSockOpt(&d)
		},
	},
}

// SocketGetopt tells an option's value: an integer of 32 bits, or for
// SO_LINGER two.
func (k *socket) SocketGetopt(_ context.Context, level, option int32) ([]byte, error) {
	if level == solSocket && option == soLinger {
		l := k.ep.SocketOptions().GetLinger()
		on := uint32(0)
		if l.Enabled {
			on = 1
		}
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, on), uint32(l.Timeout/time.Second)), nil
	}
	o, ok := values[[2]int32{level, option}]
	if !ok {
		return nil, proto.ENOPROTOOPT
	}
	v, err := o.get(k.object)
	if err != nil {
		return nil, code(err)
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(v)), nil
}

// SocketSetopt sets an option.
func (k *socket) SocketSetopt(_ context.Context, level, option int32, b []byte) error {
	if len(b) < 4 {
		// A byte is enough for some, says BSD.
		if len(b) != 1 || level != ipprotoIP {
			return proto.EINVAL
		}
		b = append(b, 0, 0, 0)
	}
	switch [2]int32{level, option} {
	case [2]int32{solSocket, soLinger}:
		if len(b) < 8 {
			return proto.EINVAL
		}
		k.ep.SocketOptions().SetLinger(tcpip.LingerOption{
			Enabled: binary.LittleEndian.Uint32(b) != 0,
			Timeout: time.Duration(int32(binary.LittleEndian.Uint32(b[4:]))) * time.Second,
		})
		return nil
	case [2]int32{ipprotoIP, ipAddMembership}, [2]int32{ipprotoIP, ipDropMembership}:
		if len(b) < 8 {
			return proto.EINVAL
		}
		m := tcpip.MembershipOption{MulticastAddr: tcpip.AddrFrom4([4]byte(b)), InterfaceAddr: interfaceAddr(b[4:])}
		if option == ipDropMembership {
			o := tcpip.RemoveMembershipOption(m)
			return code(k.ep.SetSockOpt(&o))
		}
		o := tcpip.AddMembershipOption(m)
		return code(k.ep.SetSockOpt(&o))
	case [2]int32{ipprotoIP, ipMulticastIf}:
		return code(k.ep.SetSockOpt(&tcpip.MulticastInterfaceOption{InterfaceAddr: interfaceAddr(b)}))
	}
	o, ok := values[[2]int32{level, option}]
	if !ok || o.set == nil {
		return proto.ENOPROTOOPT
	}
	return code(o.set(k.object, int(int32(binary.LittleEndian.Uint32(b)))))
}

// interfaceAddr is the address of an interface, or the empty one for any.
func interfaceAddr(b []byte) tcpip.Address {
	if ip := [4]byte(b); ip != [4]byte{} {
		return tcpip.AddrFrom4(ip)
	}
	return tcpip.Address{}
}
