package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// rangeRows is how many rows a range has.
const rangeRows = 20

// connect is a pool of the connections of one client: one.
func (o *options) connect() (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = "root", "tcp", o.addr, o.database
	c.Timeout, c.ReadTimeout, c.WriteTimeout = o.timeout, o.timeout, o.timeout
	c.InterpolateParams = true
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

// number is that of the server's error, or 0 if it is none.
func number(err error) uint16 {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number
	}
	return 0
}

// Errors after which a transaction has been rolled back, and may be done again.
const (
	lockWaitTimeout = 1205
	deadlock        = 1213
)

func again(err error) bool {
	n := number(err)
	return n == deadlock || n == lockWaitTimeout
}

// makeTable makes the table of the benchmark, anew.
func (o *options) makeTable(ctx context.Context) error {
	db, err := o.connect()
	if err != nil {
		return err
	}
	defer db.Close()
	rnd := rand.New(rand.NewPCG(o.seed, 0))
	for _, text := range []string{"DROP TABLE IF EXISTS load_rows",
		"CREATE TABLE load_rows (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL)"} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	const atOnce = 100
	for from := 1; from <= o.rows; from += atOnce {
		var b strings.Builder
		b.WriteString("INSERT INTO load_rows VALUES ")
		for id := from; id < from+atOnce && id <= o.rows; id++ {
			if id > from {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "(%d, %d, '%s', '%s')", id, rnd.IntN(o.rows), digits(rnd, 120), digits(rnd, 60))
		}
		if _, err := db.ExecContext(ctx, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// digits is a text like sysbench's: groups of digits.
func digits(rnd *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + rnd.IntN(10))
		if i%12 == 11 {
			b[i] = '-'
		}
	}
	return string(b)
}

// A Summary is what a load has seen. Times are in nanoseconds.
type Summary struct {
	Mix     string  `json:"mix"`
	Clients int     `json:"clients"`
	Seed    uint64  `json:"seed"`
	Took    float64 `json:"took_s"`
	// Done is how often the mix was done; Again, how often it was begun again.
	Done  int `json:"done"`
	Again int `json:"again"`
	// Rate is Done in a second; Statements, of statements.
	Rate       float64            `json:"rate"`
	Statements float64            `json:"statement_rate"`
	Total      Latency            `json:"total"` // of the mix, with what was done again
	Kinds      map[string]Latency `json:"kinds"` // of statements
	Series     []Interval         `json:"series"`
}

// A Latency is percentiles of how long something took.
type Latency struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// An Interval is what has ended in one.
type Interval struct {
	From float64 `json:"from_s"`
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

func latency(list []time.Duration) Latency {
	if len(list) == 0 {
		return Latency{}
	}
	slices.Sort(list)
	at := func(p float64) float64 { return float64(list[max(0, int(math.Ceil(p*float64(len(list))))-1)]) }
	return Latency{N: len(list), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

// A sample is a mix that has been done.
type sample struct{ end, took time.Duration }

// A client is one of a load.
type client struct {
	o     *options
	db    *sql.DB
	rnd   *rand.Rand
	began time.Time
	again int
	total []sample
	kinds map[string][]time.Duration
}

// a does a statement and notes how long it took.
func (c *client) a(kind string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	c.kinds[kind] = append(c.kinds[kind], time.Since(began))
	return nil
}

// A querier is a connection or a transaction.
type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

// rows reads the rows of a SELECT, and checks their number.
func (c *client) rows(ctx context.Context, q querier, want int, text string, args ...any) error {
	r, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer r.Close()
	n := 0
	for r.Next() {
		var s string
		if err := r.Scan(&s); err != nil {
			return err
		}
		n++
	}
	if err := r.Err(); err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("%w: %s %v: %d rows", errWrong, text, args, n)
	}
	return nil
}

func (c *client) id() int { return 1 + c.rnd.IntN(c.o.rows) }

func (c *client) point(ctx context.Context, q querier) error {
	return c.a("point", func() error { return c.rows(ctx, q, 1, "SELECT c FROM load_rows WHERE id = ?", c.id()) })
}

var rangeTexts = []string{
	"SELECT c FROM load_rows WHERE id BETWEEN ? AND ?",
	"SELECT SUM(k) FROM load_rows WHERE id BETWEEN ? AND ?",
	"SELECT c FROM load_rows WHERE id BETWEEN ? AND ? ORDER BY c",
	"SELECT DISTINCT c FROM load_rows WHERE id BETWEEN ? AND ? ORDER BY c",
}

func (c *client) ranges(ctx context.Context, q querier, kind int) error {
	first := 1 + c.rnd.IntN(c.o.rows-rangeRows+1)
	want := rangeRows
	if kind == 1 {
		want = 1
	}
	return c.a("range", func() error { return c.rows(ctx, q, want, rangeTexts[kind], first, first+rangeRows-1) })
}

// exec does a statement that changes a row.
func (c *client) exec(ctx context.Context, q querier, kind, text string, args ...any) error {
	return c.a(kind, func() error {
		r, err := q.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%w: %s %v: %d rows, %v", errWrong, text, args, n, err)
		}
		return nil
	})
}

func (c *client) write(ctx context.Context, q querier) error {
	return c.exec(ctx, q, "write", "UPDATE load_rows SET k = k + 1 WHERE id = ?", c.id())
}

// mixes are what a client does, once.
var mixes = map[string]func(*client, context.Context) error{
	"point": func(c *client, ctx context.Context) error { return c.point(ctx, c.db) },
	"range": func(c *client, ctx context.Context) error { return c.ranges(ctx, c.db, 0) },
	"write": func(c *client, ctx context.Context) error { return c.write(ctx, c.db) },
	"mixed": (*client).mixed,
}

func (c *client) mixed(ctx context.Context) error {
	var tx *sql.Tx
	if err := c.a("begin", func() (err error) { tx, err = c.db.BeginTx(ctx, nil); return err }); err != nil {
		return err
	}
	defer tx.Rollback()
	for range 10 {
		if err := c.point(ctx, tx); err != nil {
			return err
		}
	}
	for kind := range rangeTexts {
		if err := c.ranges(ctx, tx, kind); err != nil {
			return err
		}
	}
	if err := c.write(ctx, tx); err != nil {
		return err
	}
	if err := c.exec(ctx, tx, "write", "UPDATE load_rows SET c = ? WHERE id = ?", digits(c.rnd, 120), c.id()); err != nil {
		return err
	}
	id := c.id()
	if err := c.exec(ctx, tx, "delete", "DELETE FROM load_rows WHERE id = ?", id); err != nil {
		return err
	}
	if err := c.exec(ctx, tx, "insert", "INSERT INTO load_rows VALUES (?, ?, ?, ?)", id, c.rnd.IntN(c.o.rows), digits(c.rnd, 120), digits(c.rnd, 60)); err != nil {
		return err
	}
	return c.a("commit", tx.Commit)
}

// load runs clients of a mix. It ends with the first error that is not a conflict.
func (o *options) load(ctx context.Context, mix string) (*Summary, error) {
	do := mixes[mix]
	if do == nil {
		return nil, fmt.Errorf("there is no mix %q", mix)
	}
	list := make([]*client, o.clients)
	for i := range list {
		db, err := o.connect()
		if err != nil {
			return nil, err
		}
		defer db.Close()
		c := &client{o: o, db: db, rnd: rand.New(rand.NewPCG(o.seed, uint64(i))), kinds: make(map[string][]time.Duration)}
		// Once, so that it is connected, and what is done the first time only is done.
		for err := do(c, ctx); err != nil; err = do(c, ctx) {
			if !again(err) {
				return nil, err
			}
		}
		clear(c.kinds)
		list[i] = c
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range list {
		c.began = began
		wg.Go(func() {
			for time.Since(began) < o.time && ctx.Err() == nil {
				start := time.Now()
				err := do(c, ctx)
				for ; again(err); err = do(c, ctx) {
					c.again++
				}
				if err != nil {
					cancel(err)
					return
				}
				c.total = append(c.total, sample{time.Since(began), time.Since(start)})
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return o.summary(mix, list, time.Since(began)), nil
}

func (o *options) summary(mix string, list []*client, took time.Duration) *Summary {
	s := &Summary{Mix: mix, Clients: o.clients, Seed: o.seed, Took: took.Seconds(), Kinds: make(map[string]Latency)}
	kinds := make(map[string][]time.Duration)
	var total []time.Duration
	intervals := make([][]time.Duration, int(took/o.every)+1)
	statements := 0
	for _, c := range list {
		s.Again += c.again
		for _, x := range c.total {
			total = append(total, x.took)
			i := int(x.end / o.every)
			intervals[i] = append(intervals[i], x.took)
		}
		for kind, t := range c.kinds {
			kinds[kind] = append(kinds[kind], t...)
			statements += len(t)
		}
	}
	s.Done, s.Total = len(total), latency(total)
	s.Rate, s.Statements = float64(s.Done)/s.Took, float64(statements)/s.Took
	for kind, t := range kinds {
		s.Kinds[kind] = latency(t)
	}
	for i, t := range intervals {
		l := latency(t)
		length := min(o.every, took-time.Duration(i)*o.every)
		if length < o.every/2 {
			continue // the rest of the last ones: a rate of so short a time says nothing
		}
		s.Series = append(s.Series, Interval{From: (time.Duration(i) * o.every).Seconds(), Rate: float64(l.N) / length.Seconds(), P50: l.P50, P95: l.P95, P99: l.P99})
	}
	return s
}
