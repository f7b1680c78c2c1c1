// Mysqld is a server that speaks MySQL, for the nodes: the SQL engine is
// github.com/dolthub/go-mysql-server, the storage is package store.
//
//	mysqld [-listen ADDR] [-compact BYTES] DIRECTORY
//
// The data are in the directory, which is made if it is not there: a journal, and the file
// that the server locks. When it says "serving on ADDR" it serves. It ends with status 1
// when it could not write its journal: what it was doing is known when it is started again.
//
// It is a module of its own, so that the rest of hurdlab has not the 20 modules that the
// engine stands on. The engine's release is the latest that builds where an int has 32
// bits.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sirupsen/logrus"

	"hurdlab/suites/programs/mysqld/engine"
	"hurdlab/suites/programs/mysqld/store"
)

func main() {
	listen := flag.String("listen", ":3306", "`address` to serve on")
	compact := flag.Int64("compact", 0, "`bytes` of journal from which on it is made anew; 0: 4 MiB")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mysqld [-listen ADDR] [-compact BYTES] DIRECTORY")
		os.Exit(2)
	}
	logrus.SetLevel(logrus.PanicLevel) // clients are told of errors
	if err := run(flag.Arg(0), *listen, store.Options{Compact: *compact}); err != nil {
		fmt.Fprintln(os.Stderr, "mysqld:", err)
		os.Exit(1)
	}
}

func run(dir, listen string, o store.Options) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, found, err := store.Open(dir, o)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Printf("serving on %s: %d tables with %d rows from %d records, %d bytes cut off\n", l.Addr(), found.Tables, found.Rows, found.Records, found.Cut)

	ended := make(chan error, 1)
	go func() { ended <- engine.New(s, "hurdlab").Serve(l) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case err = <-ended:
		if err == nil {
			err = errors.New("no clients are accepted any more")
		}
	case <-s.Failed():
		err = store.ErrFailed
	case <-stop:
	}
	return errors.Join(err, s.Close())
}

// lock waits until no other server has the directory. A lock is its holder's until that ends,
// however it does.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintln(os.Stderr, "mysqld: waiting for another server to end")
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
