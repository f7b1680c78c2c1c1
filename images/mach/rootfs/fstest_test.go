package rootfs

import (
	"testing"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/fstest"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// TestProtocol runs the cases about the protocol of the conformance suite. In
// a node all cases run on the whole of it.
func TestProtocol(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	auth := portstest.NewAuth(k)
	tree := New(Config{Memory: memfs.Heap{}, MaxBytes: 64 << 20, MaxInodes: 10_000, Ports: k, Devices: MemoryDevices()})
	fs, err := translator.NewFS(translator.Config{
		Root: tree.Root(), Name: "/hurd/rootfs", FSType: proto.FSTypeMemFS, FSID: 1, System: true, Ports: k,
	})
	if err != nil {
		t.Fatal(err)
	}
	fs.SetAuth(auth.Handle([]int32{0}, []int32{0}))
	root, err := fs.Root(ctx, translator.Root(), proto.O_READ, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	server := fstest.Server{
		Self: &hurd.Process{CWD: root, Root: root, Auth: auth.Handle([]int32{0}, []int32{0}), PID: 42},
		Dir:  root, Ports: k, Call: k.Call, Layout: wire.Layout32,
		// Objects are the kernel's business: see the tests of a node.
		Lacks:   fstest.Mapping,
		Timeout: 10 * time.Second,
	}
	// The control port and that of the file system's identity are made when
	// they are first asked for, and stay.
	before, rights := len(k.Ports()), k.Rights(root)
	err = fstest.RunProtocol(ctx, server, fstest.ProtocolCases(), func(r fstest.Result) {
		switch r.Status {
		case fstest.Failed:
			t.Error(r)
		case fstest.Skipped:
			t.Log(r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.Ports()); n > before+2 {
		t.Errorf("%d ports at the beginning, %d at the end", before, n)
	}
	if n := k.Rights(root); n != rights {
		t.Errorf("%d rights to the root at the beginning, %d at the end", rights, n)
	}
}
