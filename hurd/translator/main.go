package translator

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Main is the main function of a translator whose root is the node: it parses
// the command line with the flags that the program has declared, which fsysopts
// can change later, serves, and ends the program when it is told to go away.
//
//	func main() { translator.Main(new(hello)) }
func Main(root Node) {
	flag.Parse()
	name := filepath.Base(os.Args[0])
	err := Serve(context.Background(), Config{Root: root, Name: os.Args[0], Options: flag.CommandLine})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ErrNotTranslator is that a program has no bootstrap port: it was started by
// a user and not as a translator.
var ErrNotTranslator = errors.New("must be started as a translator, by settrans")

// Serve makes this program a translator and serves until it is told to go
// away: hurd-protocol.md 5.10.
func Serve(ctx context.Context, c Config) error {
	fs, _, err := Startup(ctx, c, 0)
	if err != nil {
		return err
	}
	select {
	case <-fs.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Startup makes this program a translator and returns its file system, which
// is being served, and a port of the node that it sits on, opened with flags:
// a right of the caller's, or null.
func Startup(ctx context.Context, c Config, flags int32) (fs *FS, underlying mach.Port, err error) {
	self := hurd.Self()
	if !self.Boot.Valid() {
		return nil, mach.Null, ErrNotTranslator
	}
	if c.FSID == 0 && self.Proc.Valid() {
		if pid, _, _, err := proto.ProcGetpids(ctx, self.Proc); err == nil {
			c.FSID = uint64(pid)
		}
	}
	fs, err = NewFS(c)
	if err != nil {
		return nil, mach.Null, err
	}
	fs.SetAuth(self.Auth)
	control, err := fs.Control(ctx)
	if err != nil {
		return nil, mach.Null, err
	}
	underlying, err = proto.FsysStartup(ctx, self.Boot, flags, proto.Move(control))
	if err != nil {
		return nil, mach.Null, fmt.Errorf("become a translator: %w", err)
	}
	if self.Proc.Valid() {
		// So that a shutdown ends it late. Not everybody may say so.
		_ = proto.ProcMarkImportant(ctx, self.Proc)
	}
	return fs, underlying, nil
}
