package socket

import (
	"encoding/binary"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"hurdlab/images/mach/hurdio"
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

	ipTTL = 4

	tcpNoDelay   = 1
	tcpKeepIdle  = 4
	tcpKeepIntvl = 5
	tcpKeepCnt   = 6
)

// Error numbers that only sockets use.
var (
	eNFile          = mach.Errno(23)
	eInProgress     = mach.Errno(36)
	eAlready        = mach.Errno(37)
	eDestAddrReq    = mach.Errno(39)
	eMsgSize        = mach.Errno(40)
	eNoProtoOpt     = mach.Errno(42)
	eProtoNoSupport = mach.Errno(43)
	eSockTNoSupport = mach.Errno(44)
	eAFNoSupport    = mach.Errno(47)
	eAddrInUse      = mach.Errno(48)
	eAddrNotAvail   = mach.Errno(49)
	eNetUnreach     = mach.Errno(51)
	eConnAborted    = mach.Errno(53)
	eConnReset      = mach.Errno(54)
	eNoBufs         = mach.Errno(55)
	eIsConn         = mach.Errno(56)
	eNotConn        = mach.Errno(57)
	eTimedOut       = mach.Errno(60)
	eConnRefused    = mach.Errno(61)
	eHostDown       = mach.Errno(64)
	eHostUnreach    = mach.Errno(65)
)

// code translates an error of the network stack. It is nil for nil.
func code(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock:
		return hurdio.EAGAIN
	case *tcpip.ErrConnectStarted:
		return eInProgress
	case *tcpip.ErrAlreadyConnecting:
		return eAlready
	case *tcpip.ErrAlreadyConnected:
		return eIsConn
	case *tcpip.ErrNotConnected:
		return eNotConn
	case *tcpip.ErrClosedForSend:
		return hurdio.EPIPE
	case *tcpip.ErrConnectionRefused:
		return eConnRefused
	case *tcpip.ErrConnectionReset:
		return eConnReset
	case *tcpip.ErrConnectionAborted, *tcpip.ErrAborted:
		return eConnAborted
	case *tcpip.ErrTimeout:
		return eTimedOut
	case *tcpip.ErrHostUnreachable:
		return eHostUnreach
	case *tcpip.ErrHostDown:
		return eHostDown
	case *tcpip.ErrNetworkUnreachable:
		return eNetUnreach
	case *tcpip.ErrPortInUse, *tcpip.ErrNoPortAvailable:
		return eAddrInUse
	case *tcpip.ErrBadLocalAddress, *tcpip.ErrBadAddress:
		return eAddrNotAvail
	case *tcpip.ErrDestinationRequired:
		return eDestAddrReq
	case *tcpip.ErrMessageTooLong:
		return eMsgSize
	case *tcpip.ErrNoBufferSpace:
		return eNoBufs
	case *tcpip.ErrUnknownProtocolOption:
		return eNoProtoOpt
	case *tcpip.ErrNotPermitted, *tcpip.ErrBroadcastDisabled:
		return hurdio.EACCES
	case *tcpip.ErrNotSupported:
		return hurdio.EOPNOTSUPP
	}
	return hurdio.EINVAL
}

// getOpt answers socket_getopt. Values are 32-bit integers.
func (k *socket) getOpt(req, reply *mach.Message) error {
	level, name := req.TakeInt32(), req.TakeInt32()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	so := k.ep.SocketOptions()
	flag := func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	}
	var v int32
	switch [2]int32{level, name} {
	case [2]int32{solSocket, soError}:
		if n, ok := mach.Code(code(k.ep.LastError())).Errno(); ok {
			v = int32(n)
		}
	case [2]int32{solSocket, soType}:
		v = sockDgram
		if k.stream {
			v = sockStream
		}
	case [2]int32{solSocket, soReuseAddr}:
		v = flag(so.GetReuseAddress())
	case [2]int32{solSocket, soReusePort}:
		v = flag(so.GetReusePort())
	case [2]int32{solSocket, soKeepAlive}:
		v = flag(so.GetKeepAlive())
	case [2]int32{solSocket, soBroadcast}:
		v = flag(so.GetBroadcast())
	case [2]int32{solSocket, soSndBuf}:
		v = int32(so.GetSendBufferSize())
	case [2]int32{solSocket, soRcvBuf}:
		v = int32(so.GetReceiveBufferSize())
	case [2]int32{ipprotoIP, ipTTL}:
		n, err := k.ep.GetSockOptInt(tcpip.IPv4TTLOption)
		if err != nil {
			return code(err)
		}
		v = int32(n)
	case [2]int32{ipprotoTCP, tcpNoDelay}:
		v = flag(!so.GetDelayOption())
	default:
		return eNoProtoOpt
	}
	reply.PutData(mach.Char, binary.LittleEndian.AppendUint32(nil, uint32(v)))
	return nil
}

func (k *socket) setOpt(req, _ *mach.Message) error {
	level, name, data := req.TakeInt32(), req.TakeInt32(), req.TakeData(-1)
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	if len(data) < 4 {
		return hurdio.EINVAL
	}
	v := int32(binary.LittleEndian.Uint32(data))
	so := k.ep.SocketOptions()
	switch [2]int32{level, name} {
	case [2]int32{solSocket, soReuseAddr}:
		so.SetReuseAddress(v != 0)
	case [2]int32{solSocket, soReusePort}:
		so.SetReusePort(v != 0)
	case [2]int32{solSocket, soKeepAlive}:
		so.SetKeepAlive(v != 0)
	case [2]int32{solSocket, soBroadcast}:
		so.SetBroadcast(v != 0)
	case [2]int32{solSocket, soSndBuf}:
		so.SetSendBufferSize(int64(v), true)
	case [2]int32{solSocket, soRcvBuf}:
		so.SetReceiveBufferSize(int64(v), true)
	case [2]int32{solSocket, soLinger}:
		if len(data) < 8 {
			return hurdio.EINVAL
		}
		so.SetLinger(tcpip.LingerOption{Enabled: v != 0, Timeout: time.Duration(int32(binary.LittleEndian.Uint32(data[4:]))) * time.Second})
	case [2]int32{ipprotoIP, ipTTL}:
		return code(k.ep.SetSockOptInt(tcpip.IPv4TTLOption, int(v)))
	case [2]int32{ipprotoTCP, tcpNoDelay}:
		so.SetDelayOption(v == 0)
	case [2]int32{ipprotoTCP, tcpKeepIdle}:
		o := tcpip.KeepaliveIdleOption(time.Duration(v) * time.Second)
		return code(k.ep.SetSockOpt(&o))
	case [2]int32{ipprotoTCP, tcpKeepIntvl}:
		o := tcpip.KeepaliveIntervalOption(time.Duration(v) * time.Second)
		return code(k.ep.SetSockOpt(&o))
	case [2]int32{ipprotoTCP, tcpKeepCnt}:
		return code(k.ep.SetSockOptInt(tcpip.KeepaliveCountOption, int(v)))
	default:
		return eNoProtoOpt
	}
	return nil
}
