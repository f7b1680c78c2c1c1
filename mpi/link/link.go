// Package link has the links of package mpi between processes: TCP connections, ports
// of Mach, and a mapped file.
//
// Ports and files reach other nodes by what the Hurd has for that: netmsg carries the
// messages, and the pager the pages. The links know nothing of nodes.
package link

import (
	"fmt"

	"hurdlab/mpi"
)

// A part is a message that comes in pieces.
type part struct {
	tag  int32
	left int // -1: none has begun
	b    []byte
}

// begin begins a message of a length, in buf if it has room.
func (p *part) begin(tag int32, total int64, buf []byte) error {
	if total < 0 || total > mpi.MaxMessage {
		return fmt.Errorf("link: a message of %d bytes", total)
	}
	if int64(cap(buf)) < total {
		buf = make([]byte, 0, total)
	}
	p.tag, p.left, p.b = tag, int(total), buf[:0]
	return nil
}

// add adds a piece.
func (p *part) add(b []byte) error {
	if len(b) > p.left {
		return fmt.Errorf("link: %d bytes where %d are left", len(b), p.left)
	}
	p.b = append(p.b, b...)
	p.left -= len(b)
	return nil
}
