// Command tmpfs is a translator: a file system in memory, that of the nodes'
// root (package rootfs), which is empty when it starts.
//
//	settrans -ac /mnt /tmp/bin/tmpfs --size=8
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/rootfs"
)

// keepFree is how much memory files leave to programs.
const keepFree = 8 << 20

func main() {
	size := flag.Int64("size", 16, "how much files may take, in `MiB`")
	inodes := flag.Int("inodes", 4096, "how many files there may be")
	mode := flag.Uint("mode", 0o755, "permissions of the root directory")
	flag.Parse()
	if err := run(*size<<20, *inodes, uint32(*mode)); err != nil {
		fmt.Fprintln(os.Stderr, "tmpfs:", err)
		os.Exit(1)
	}
}

func run(size int64, inodes int, mode uint32) error {
	ctx := context.Background()
	export := new(ports.Kernel)
	devices := rootfs.MemoryDevices()
	tree := rootfs.New(rootfs.Config{
		Memory: rootfs.Memory{KeepFree: keepFree}, MaxBytes: size, MaxInodes: inodes,
		Generation: uint32(time.Now().Unix()), Ports: export, Devices: devices,
	})
	root := tree.Root()
	if err := root.(translator.Attributes).SetAttr(ctx, translator.Attr{
		Set: translator.SetMode | translator.SetUID | translator.SetGID, Mode: mode & 0o7777,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
	}); err != nil {
		return err
	}
	return translator.Serve(ctx, translator.Config{Root: root, Name: os.Args[0], FSType: proto.FSTypeMemFS, Source: "tmpfs", Ports: export})
}
