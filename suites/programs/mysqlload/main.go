// Mysqlload is clients of a server that speaks MySQL: what a benchmark asks of it, in the
// manner of sysbench, and a bank whose money is counted.
//
//	mysqlload [FLAGS] prepare            make the table of the benchmark
//	mysqlload [FLAGS] load MIX           run clients for a time: a Summary
//	mysqlload [FLAGS] open               make the bank's tables
//	mysqlload [FLAGS] transfer           run clients that transfer money: a BankReport
//	mysqlload [FLAGS] audit              count all money: an Audit
//
// Each prints a line of JSON at the end. The status is 1 if it could not do it, 3 if the server
// has done something wrong.
//
// # The mixes
//
// The table has integers as keys, and two texts of 120 and 60 characters. A point is a
// SELECT of a text by key; a range, of 20 rows, by BETWEEN (as they are, their
// sum, sorted, distinct); a write, an UPDATE of one row. The mix "mixed" is transactions of 10 points, 4
// ranges, 2 updates, and a delete and an insert, between START TRANSACTION and
// COMMIT: 20 statements. What another transaction has been in the way of is done again, and
// counted.
//
// Values are put into the text of statements by the client, so that a statement is one message there
// and one back.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errWrong is what a server should never do.
var errWrong = errors.New("wrong")

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:3306", "`address` of the server")
	flag.StringVar(&o.database, "database", "hurdlab", "`name` of its database")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for the server's answer")
	flag.DurationVar(&o.patience, "patience", 0, "how long transfer waits for a server that is away to come back, when its time is over")
	flag.IntVar(&o.clients, "clients", 4, "`number` of clients")
	flag.DurationVar(&o.time, "time", 10*time.Second, "how long to run them")
	flag.DurationVar(&o.every, "every", time.Second, "the interval of the figures over time")
	flag.IntVar(&o.rows, "rows", 1000, "`rows` of the table")
	flag.IntVar(&o.accounts, "accounts", 20, "`number` of the bank's accounts")
	flag.Int64Var(&o.run, "run", 1, "`number` of this run: it, and clients, and how often, name a transfer")
	flag.Uint64Var(&o.seed, "seed", 0, "`seed` of what is random; 0: another each time")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	mysql.SetLogger(log.New(silent{}, "", 0)) // errors are returned as well
	err := o.do(context.Background(), flag.Args(), func(v any) { json.NewEncoder(os.Stdout).Encode(v) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "mysqlload:", err)
		if errors.Is(err, errWrong) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

type silent struct{}

func (silent) Write(b []byte) (int, error) { return len(b), nil }

// options are the command line's.
type options struct {
	addr, database string
	timeout        time.Duration
	patience       time.Duration
	clients        int
	time, every    time.Duration
	rows, accounts int
	run            int64
	seed           uint64
}

func (o *options) do(ctx context.Context, args []string, say func(any)) error {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	if o.clients < 1 || o.rows < rangeRows || o.accounts < 2 || o.every <= 0 {
		return errors.New("there have to be a client, 20 rows, two accounts and an interval at least")
	}
	if command == "load" && len(args) == 2 {
		s, err := o.load(ctx, args[1])
		if s != nil {
			say(s)
		}
		return err
	}
	if len(args) != 1 {
		return errors.New("usage: mysqlload [FLAGS] prepare|load MIX|open|transfer|audit")
	}
	switch command {
	case "prepare":
		return o.makeTable(ctx)
	case "open":
		return o.openBank(ctx)
	case "transfer":
		r, err := o.transfer(ctx)
		if r != nil {
			say(r)
		}
		return err
	case "audit":
		a, err := o.audit(ctx)
		if a != nil {
			say(a)
		}
		return err
	}
	return fmt.Errorf("there is no command %s", command)
}
