package tools

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ping sends ICMP echo requests and waits for the answers.
func ping(ctx context.Context, c *Call) error {
	opts, args, err := c.options("c:s:i:W:")
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return usagef("which host?")
	}
	number := func(o string, def int) int {
		if !opts.has(o) {
			return def
		}
		n, e := strconv.Atoi(opts.value(o))
		if e != nil || n < 0 {
			err = errors.Join(err, usagef("-%s %s: not a number", o, opts.value(o)))
		}
		return n
	}
	count, size := number("c", 0), min(number("s", 56), 60000)
	interval, timeout := time.Duration(number("i", 1))*time.Second, time.Duration(number("W", 5))*time.Second
	if err != nil {
		return err
	}
	addr, err := resolve(ctx, args[0])
	if err != nil {
		return err
	}
	conn, err := dialICMP(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	p := pinger{conn: conn, id: uint16(os.Getpid()), size: size}
	sent, received := 0, 0
	for ctx.Err() == nil && (count == 0 || sent < count) {
		sent++
		d, err := p.ping(uint16(sent), timeout)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			fmt.Fprintf(c.Stdout, "no answer from %s within %v\n", addr, timeout)
		case err != nil:
			fmt.Fprintln(c.Stdout, err)
		default:
			received++
			fmt.Fprintf(c.Stdout, "%d bytes from %s: seq=%d time=%.3f ms\n", size+8, addr, sent, float64(d.Microseconds())/1000)
		}
		if sent == count {
			break
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
		}
	}
	fmt.Fprintf(c.Stdout, "%d sent, %d received\n", sent, received)
	if received == 0 {
		return status(1)
	}
	return nil
}

func resolve(ctx context.Context, host string) (net.IP, error) {
	if ip := net.ParseIP(host); ip != nil {
		return ip, nil
	}
	list, err := net.DefaultResolver.LookupIP(ctx, "ip4", host)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// dialICMP makes a raw socket, or for those who may not have one a datagram
// socket.
func dialICMP(to net.IP) (net.Conn, error) {
	conn, err := net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: to})
	if err == nil {
		return conn, nil
	}
	ip := to.To4()
	if ip == nil {
		return nil, err
	}
	fd, serr := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 1 /* ICMP */)
	if serr != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: [4]byte(ip)}); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

type pinger struct {
	conn io.ReadWriter
	id   uint16
	size int
}

// ping sends a request and returns how long its answer took.
func (p *pinger) ping(seq uint16, timeout time.Duration) (time.Duration, error) {
	const echoReply, echoRequest = 0, 8
	req := make([]byte, 8+p.size)
	req[0] = echoRequest
	binary.BigEndian.PutUint16(req[4:], p.id)
	binary.BigEndian.PutUint16(req[6:], seq)
	for i := range p.size {
		req[8+i] = byte(i)
	}
	binary.BigEndian.PutUint16(req[2:], checksum(req))
	sent := time.Now()
	if d, ok := p.conn.(interface{ SetReadDeadline(time.Time) error }); ok {
		if err := d.SetReadDeadline(sent.Add(timeout)); err != nil {
			return 0, err
		}
	}
	if _, err := p.conn.Write(req); err != nil {
		return 0, err
	}
	b := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			return 0, err
		}
		// Datagram sockets have the number of their port as the id.
		m := payload(b[:n])
		if len(m) >= 8 && m[0] == echoReply && binary.BigEndian.Uint16(m[6:]) == seq && (p.datagram() || binary.BigEndian.Uint16(m[4:]) == p.id) {
			return time.Since(sent), nil
		}
	}
}

func (p *pinger) datagram() bool {
	_, raw := p.conn.(*net.IPConn)
	return !raw
}

// payload is what is behind an IPv4 header, if there is one: raw sockets have
// it, and not every system's package net takes it away.
func payload(b []byte) []byte {
	if len(b) >= 20 && b[0]>>4 == 4 {
		return b[min(int(b[0]&15)*4, len(b)):]
	}
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		if i+1 < len(b) {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		} else {
			sum += uint32(b[i]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// netstat shows what the server of the Internet's sockets says of itself.
func netstat(_ context.Context, c *Call) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	f, err := os.Open("/servers/socket/2")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(c.Stdout, f)
	return err
}
