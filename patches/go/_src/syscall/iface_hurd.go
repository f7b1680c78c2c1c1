// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Network interfaces, as the server of the Internet's sockets has them.

const (
	_pfinet_siocgifconf = 37000

	_iioctl_siocgifflags   = 112017
	_iioctl_siocgifnetmask = 112037
	_iioctl_siocgifhwaddr  = 112039
	_iioctl_siocgifmtu     = 112051
	_iioctl_siocgifindex   = 112090
)

// Flags of a HurdInterface.
const (
	IFF_UP          = 0x1
	IFF_BROADCAST   = 0x2
	IFF_LOOPBACK    = 0x8
	IFF_POINTOPOINT = 0x10
	IFF_RUNNING     = 0x40
	IFF_MULTICAST   = 0x1000
)

// A HurdInterface is a network interface that has an IPv4 address. What the
// server does not say is zero.
type HurdInterface struct {
	Name          string
	Index, MTU    int
	Flags         int
	HardwareAddr  []byte
	Addr, Netmask [4]byte
}

// HurdInterfaces lists the network interfaces.
func HurdInterfaces() ([]HurdInterface, error) {
	server, err := socketServer(AF_INET)
	if err != nil {
		return nil, err
	}
	defer portDeallocate(server)
	// A name and a union, of which an address is a part.
	const (
		nameSize = 16
		size     = nameSize + 4*sizeofPtr
		most     = 256 // interfaces
	)
	var conf []byte
	err = rpc(server, _pfinet_siocgifconf, func(m *message) { m.putWord(most * size) }, func(m *message) { conf = m.bytes() })
	if err != nil {
		return nil, err
	}
	// The rest are calls of a socket.
	sock, err := rpcPort(server, _socket_create, func(m *message) {
		m.putInt32(SOCK_DGRAM)
		m.putInt32(0)
	})
	if err != nil {
		return nil, err
	}
	defer portDeallocate(sock)
	var list []HurdInterface
	for ; len(conf) >= size; conf = conf[size:] {
		name := [nameSize]byte(conf)
		f := HurdInterface{Name: string(name[:clen(name[:])]), Addr: [4]byte(conf[nameSize+4:])}
		number := func(id uint32) (n int) {
			rpc(sock, id, func(m *message) {
				m.putChars16(name)
				m.putInt32(0)
			}, func(m *message) {
				m.chars16()
				n = int(int32(m.int32()))
			})
			return n
		}
		address := func(id uint32) (b [16]byte) {
			rpc(sock, id, func(m *message) {
				m.putChars16(name)
				m.putChars16([16]byte{})
			}, func(m *message) {
				m.chars16()
				b = m.chars16()
			})
			return b
		}
		f.Index, f.MTU = number(_iioctl_siocgifindex), number(_iioctl_siocgifmtu)
		rpc(sock, _iioctl_siocgifflags, func(m *message) {
			m.putChars16(name)
			m.putInt16(0)
		}, func(m *message) {
			m.chars16()
			f.Flags = int(m.int16())
		})
		mask := address(_iioctl_siocgifnetmask)
		f.Netmask = [4]byte(mask[4:])
		if hw := address(_iioctl_siocgifhwaddr); f.Flags&IFF_LOOPBACK == 0 {
			f.HardwareAddr = append([]byte(nil), hw[2:8]...)
		}
		list = append(list, f)
	}
	return list, nil
}
