package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"sync"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"hurdlab/netmsg/transport"
)

// ninePort is where the server of 9P listens, and by which connections for netmsg's
// keys differ from netmsg's own.
const ninePort = 2346

// keys is netmsg's TLS with the node's own key and peers.
func keys() (*transport.TLS, error) {
	self, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	key, err := transport.ReadKey("/etc/netmsg/key")
	if err != nil {
		return nil, err
	}
	peers, err := transport.ReadPeers("/etc/netmsg/peers")
	if err != nil {
		return nil, err
	}
	for name, p := range peers {
		host, _, err := net.SplitHostPort(p.Addr)
		if err != nil {
			return nil, err
		}
		p.Addr = net.JoinHostPort(host, fmt.Sprint(ninePort))
		peers[name] = p
	}
	return &transport.TLS{Self: self, Key: key, Peers: peers}, nil
}

// serve serves a directory by 9P (2000.L), read-only, to anybody, or with tls by netmsg's
// transport to its peers.
func serve(ctx context.Context, dir string, secure bool) error {
	server := p9.NewServer(tree(dir))
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", ninePort))
	if err != nil {
		return err
	}
	fmt.Println("9P at", l.Addr())
	handle := func(c net.Conn) {
		w := newWhole(c)
		if err := server.Handle(w, w); err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(os.Stderr, "remotebench:", err)
		}
	}
	if secure {
		t, err := keys()
		if err != nil {
			return err
		}
		return t.Serve(ctx, l, func(c *transport.Conn) { handle(c) }, nil)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go handle(c)
	}
}

// dial9P returns the root of the tree that a node serves by 9P.
func dial9P(ctx context.Context, node string, secure bool) (p9.File, error) {
	var c net.Conn
	var err error
	if secure {
		var t *transport.TLS
		if t, err = keys(); err == nil {
			c, err = t.Dial(ctx, node)
		}
	} else {
		c, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(node, fmt.Sprint(ninePort)))
	}
	if err != nil {
		return nil, err
	}
	client, err := p9.NewClient(newWhole(c))
	if err != nil {
		return nil, err
	}
	return client.Attach("")
}

// A whole is a connection that writes each message of 9P at once, and reads as much as
// there is: package p9 does both in pieces, and a packet for each would make 9P slower
// than it need be.
type whole struct {
	net.Conn
	in *bufio.Reader

	mu  sync.Mutex
	out []byte
}

func newWhole(c net.Conn) *whole { return &whole{Conn: c, in: bufio.NewReaderSize(c, 64<<10)} }

func (w *whole) Read(b []byte) (int, error) { return w.in.Read(b) }

func (w *whole) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, b...)
	for len(w.out) >= 4 {
		n := int(binary.LittleEndian.Uint32(w.out))
		if len(w.out) < n {
			break
		}
		if _, err := w.Conn.Write(w.out[:n]); err != nil {
			return 0, err
		}
		w.out = w.out[:copy(w.out, w.out[n:])]
	}
	return len(b), nil
}

// A tree attaches at a directory.
type tree string

func (t tree) Attach() (p9.File, error) { return &file{path: string(t)}, nil }

// A file of a tree: [p9.File]. It can be looked up, listed and its attributes asked for.
type file struct {
	templatefs.NoopFile
	path string

	mu      sync.Mutex
	entries p9.Dirents // of a directory that is open
}

func qid(name string, mode fs.FileMode) p9.QID {
	h := fnv.New64a()
	h.Write([]byte(name))
	return p9.QID{Type: p9.ModeFromOS(mode).QIDType(), Path: h.Sum64()}
}

func attributes(name string) (p9.QID, p9.Attr, error) {
	st, err := os.Lstat(name)
	if err != nil {
		return p9.QID{}, p9.Attr{}, errno(err)
	}
	t := st.ModTime()
	return qid(name, st.Mode()), p9.Attr{
		Mode: p9.ModeFromOS(st.Mode()), NLink: 1, Size: uint64(st.Size()), BlockSize: 4096, Blocks: uint64(st.Size()+511) / 512,
		MTimeSeconds: uint64(t.Unix()), MTimeNanoSeconds: uint64(t.Nanosecond()),
	}, nil
}

func errno(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return linux.ENOENT
	case errors.Is(err, fs.ErrPermission):
		return linux.EACCES
	}
	return linux.EIO
}

func (f *file) Walk(names []string) ([]p9.QID, p9.File, error) {
	qids, x, _, _, err := f.WalkGetAttr(names)
	return qids, x, err
}

func (f *file) WalkGetAttr(names []string) (qids []p9.QID, _ p9.File, mask p9.AttrMask, attr p9.Attr, err error) {
	x := &file{path: f.path}
	if len(names) == 0 {
		_, attr, err = attributes(x.path)
		return nil, x, p9.AttrMaskAll, attr, err
	}
	for _, name := range names {
		x.path = path.Join(x.path, name)
		var q p9.QID
		if q, attr, err = attributes(x.path); err != nil {
			return nil, nil, mask, attr, err
		}
		qids = append(qids, q)
	}
	return qids, x, p9.AttrMaskAll, attr, nil
}

func (f *file) GetAttr(req p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	q, attr, err := attributes(f.path)
	return q, req, attr, err
}

func (f *file) Open(p9.OpenFlags) (p9.QID, uint32, error) {
	q, _, err := attributes(f.path)
	return q, 0, err
}

// Readdir reads the directory once. What a directory entry says besides the name costs
// nothing here: no attributes are asked for.
func (f *file) Readdir(offset uint64, count uint32) (p9.Dirents, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entries == nil {
		list, err := os.ReadDir(f.path)
		if err != nil {
			return nil, errno(err)
		}
		f.entries = make(p9.Dirents, len(list))
		for i, e := range list {
			q := qid(path.Join(f.path, e.Name()), e.Type())
			f.entries[i] = p9.Dirent{QID: q, Type: q.Type, Name: e.Name(), Offset: uint64(i) + 1}
		}
	}
	if offset >= uint64(len(f.entries)) {
		return nil, io.EOF
	}
	return f.entries[offset:min(offset+uint64(count), uint64(len(f.entries)))], nil
}

func (f *file) Close() error { return nil }
