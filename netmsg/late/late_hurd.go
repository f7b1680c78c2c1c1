package late

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Wrap makes a connection whose writes are late after WriteLate: of TCP on the Hurd. Others
// stay as they are.
func Wrap(c net.Conn) net.Conn {
	if _, ok := c.(*net.TCPConn); !ok {
		return c
	}
	return wrap(c)
}

// WriteLate has writes from now on return when they are sent.
func (c *conn) WriteLate() error {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var port mach.Port
	if e := raw.Control(func(fd uintptr) { port, err = descriptor(int32(fd)) }); e != nil || err != nil {
		return errors.Join(e, err)
	}
	c.late(kernelSocket{port})
	return nil
}

// askTime is how long this program may take to answer itself. Without an answer writes are as they were.
const askTime = 5 * time.Second

// descriptor returns the port of a descriptor: as others would, this program asks its message port.
func descriptor(fd int32) (mach.Port, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	msg, err := proto.ProcGetmsgport(ctx, hurd.Self().Proc, int32(os.Getpid()))
	if err != nil {
		return mach.Null, fmt.Errorf("the message port: %w", err)
	}
	defer proto.Release(ctx, msg)
	return proto.MsgGetFd(ctx, msg, mach.TaskSelf(), fd)
}

// A kernelSocket is a send right to a socket.
type kernelSocket struct{ port mach.Port }

func (s kernelSocket) begin(p []byte) (begun, error) {
	ended, cancel := context.WithCancel(context.Background())
	cancel() // a server that has a full queue has time for the ordinary way
	w, err := proto.BeginIOWrite(ended, s.port, p, -1)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (s kernelSocket) again(err error) bool {
	return errors.Is(err, proto.EAGAIN) || errors.Is(err, proto.EINTR)
}

func (s kernelSocket) release() { proto.Release(context.Background(), s.port) }
