// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package net

import "syscall"

func hurdInterfaces(ifindex int) ([]syscall.HurdInterface, error) {
	all, err := syscall.HurdInterfaces()
	if err != nil || ifindex == 0 {
		return all, err
	}
	for i, f := range all {
		if f.Index == ifindex {
			return all[i : i+1], nil
		}
	}
	return nil, nil
}

// If the ifindex is zero, interfaceTable returns mappings of all
// network interfaces. Otherwise it returns a mapping of a specific
// interface.
func interfaceTable(ifindex int) ([]Interface, error) {
	all, err := hurdInterfaces(ifindex)
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, f := range all {
		i := Interface{Index: f.Index, MTU: f.MTU, Name: f.Name, HardwareAddr: f.HardwareAddr}
		for flag, is := range map[int]Flags{
			syscall.IFF_UP:          FlagUp,
			syscall.IFF_BROADCAST:   FlagBroadcast,
			syscall.IFF_LOOPBACK:    FlagLoopback,
			syscall.IFF_POINTOPOINT: FlagPointToPoint,
			syscall.IFF_RUNNING:     FlagRunning,
			syscall.IFF_MULTICAST:   FlagMulticast,
		} {
			if f.Flags&flag != 0 {
				i.Flags |= is
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// If the ifi is nil, interfaceAddrTable returns addresses for all
// network interfaces. Otherwise it returns addresses for a specific
// interface.
func interfaceAddrTable(ifi *Interface) ([]Addr, error) {
	index := 0
	if ifi != nil {
		index = ifi.Index
	}
	all, err := hurdInterfaces(index)
	if err != nil {
		return nil, err
	}
	var list []Addr
	for _, f := range all {
		list = append(list, &IPNet{IP: IPv4(f.Addr[0], f.Addr[1], f.Addr[2], f.Addr[3]), Mask: IPMask(f.Netmask[:])})
	}
	return list, nil
}

// interfaceMulticastAddrTable returns addresses for a specific
// interface. The server does not tell.
func interfaceMulticastAddrTable(ifi *Interface) ([]Addr, error) { return nil, nil }
