package engine

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	gmssql "github.com/dolthub/go-mysql-server/sql"
	"github.com/go-sql-driver/mysql"
	"github.com/sirupsen/logrus"

	"hurdlab/suites/programs/mysqld/store"
)

func init() { logrus.SetLevel(logrus.PanicLevel) }

// serve serves a directory until the test's end, or until stop.
func serve(t *testing.T, dir string) (db *sql.DB, stop func()) {
	t.Helper()
	s, _, err := store.Open(dir, store.Options{})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New(s, "bank").Serve(l)
	}()
	db, err = sql.Open("mysql", "root@tcp("+l.Addr().String()+")/bank?interpolateParams=true")
	must(t, err)
	stop = func() {
		db.Close()
		l.Close()
		<-ended
		s.Close()
	}
	t.Cleanup(stop)
	return db, stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

func exec(t *testing.T, q queryer, query string, args ...any) {
	t.Helper()
	if _, err := q.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// query returns rows as text, columns with spaces between them.
func query(t *testing.T, q queryer, query string, args ...any) []string {
	t.Helper()
	rows, err := q.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	var list []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		var to []any
		for i := range values {
			to = append(to, &values[i])
		}
		must(t, rows.Scan(to...))
		var text []string
		for _, v := range values {
			if !v.Valid {
				v.String = "NULL"
			}
			text = append(text, v.String)
		}
		list = append(list, strings.Join(text, " "))
	}
	must(t, rows.Err())
	return list
}

func expect(t *testing.T, q queryer, want []string, text string, args ...any) {
	t.Helper()
	if got := query(t, q, text, args...); !slices.Equal(got, want) {
		t.Fatalf("%s %v:\n%q\nwant\n%q", text, args, got, want)
	}
}

// code is the number of MySQL's error that a statement has.
func code(t *testing.T, q queryer, text string, args ...any) uint16 {
	t.Helper()
	_, err := q.ExecContext(t.Context(), text, args...)
	return number(err)
}

func number(err error) uint16 {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number
	}
	return 0
}

func TestStatements(t *testing.T) {
	dir := t.TempDir()
	db, stop := serve(t, dir)
	exec(t, db, "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, k BIGINT, c VARCHAR(20), d DOUBLE)")
	exec(t, db, "CREATE TABLE IF NOT EXISTS t (id INT NOT NULL PRIMARY KEY)")
	exec(t, db, "CREATE TABLE two (a VARCHAR(9) NOT NULL, b SMALLINT NOT NULL, v BLOB, PRIMARY KEY (a, b))")
	if n := code(t, db, "CREATE TABLE t (id INT NOT NULL PRIMARY KEY)"); n == 0 {
		t.Fatal("it was made twice")
	}
	exec(t, db, "INSERT INTO t VALUES (3, 30, 'three', 0.5), (1, 10, 'one', NULL), (-2, NULL, 'two', -1)")
	exec(t, db, "INSERT INTO two VALUES ('x', 2, 'v'), ('x', 1, NULL)")
	if n := code(t, db, "INSERT INTO t VALUES (7, 1, '', 0), (1, 1, '', 0)"); n != 1062 {
		t.Fatal(n) // and the first of the statement is not there
	}
	if n := code(t, db, "INSERT INTO t VALUES (NULL, 1, '', 0)"); n != 1048 {
		t.Fatal(n)
	}
	expect(t, db, []string{"-2 NULL two -1", "1 10 one NULL", "3 30 three 0.5"}, "SELECT * FROM t")
	expect(t, db, []string{"x 1 NULL", "x 2 v"}, "SELECT * FROM two ORDER BY b")
	exec(t, db, "UPDATE t SET k = k + 1 WHERE id = ?", 3)
	exec(t, db, "UPDATE t SET id = 4 WHERE id = 1")
	if n := code(t, db, "UPDATE t SET id = 4 WHERE id = 3"); n != 1062 {
		t.Fatal(n)
	}
	exec(t, db, "REPLACE INTO t VALUES (-2, 5, 'anew', 1)")
	exec(t, db, "INSERT INTO t VALUES (-2, 0, '', 0) ON DUPLICATE KEY UPDATE k = k + 1")
	exec(t, db, "DELETE FROM two WHERE a = 'x' AND b = 2")
	want := []string{"-2 6 anew 1", "3 31 three 0.5", "4 10 one NULL"}
	expect(t, db, want, "SELECT * FROM t")
	expect(t, db, []string{"47 3"}, "SELECT SUM(k), COUNT(*) FROM t")
	expect(t, db, []string{"4 1"}, "SELECT t.id, two.b FROM t JOIN two ON t.id = two.b + 3")
	for _, bad := range []string{
		"CREATE TABLE bad (a INT)",
		"CREATE TABLE bad (a INT PRIMARY KEY AUTO_INCREMENT)",
		"CREATE TABLE bad (a INT PRIMARY KEY, b INT DEFAULT 3)",
		"CREATE TABLE bad (a DOUBLE PRIMARY KEY)",
		"CREATE TABLE bad (a INT PRIMARY KEY, b DATETIME)",
		"CREATE TABLE bad (a INT PRIMARY KEY, b DECIMAL(5,2))",
		"SAVEPOINT s",
	} {
		if code(t, db, bad) == 0 {
			t.Fatalf("%s: no error", bad)
		}
	}
	expect(t, db, []string{"t", "two"}, "SHOW TABLES")
	expect(t, db, want[:1], "SELECT * FROM t WHERE id = -2 FOR UPDATE") // which locks nothing
	// And all of it once more, from the journal.
	stop()
	db, _ = serve(t, dir)
	expect(t, db, want, "SELECT * FROM t")
	exec(t, db, "DROP TABLE two")
	expect(t, db, []string{"t"}, "SHOW TABLES")
}

func TestPrepare(t *testing.T) {
	db, _ := serve(t, t.TempDir())
	if _, err := db.Prepare("SELECT ?"); number(err) != 1295 {
		t.Fatal(err)
	}
}

func TestTransactions(t *testing.T) {
	db, _ := serve(t, t.TempDir())
	exec(t, db, "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT)")
	exec(t, db, "INSERT INTO t VALUES (1, 1), (2, 2)")
	begin := func() *sql.Tx {
		tx, err := db.BeginTx(t.Context(), nil)
		must(t, err)
		return tx
	}
	a, b, c := begin(), begin(), begin()
	exec(t, a, "UPDATE t SET v = v + 10 WHERE id = 1")
	expect(t, a, []string{"1 11", "2 2"}, "SELECT * FROM t")
	expect(t, b, []string{"1 1", "2 2"}, "SELECT * FROM t")
	must(t, a.Commit())
	expect(t, db, []string{"1 11", "2 2"}, "SELECT * FROM t")
	expect(t, b, []string{"1 1", "2 2"}, "SELECT * FROM t") // a snapshot
	exec(t, b, "UPDATE t SET v = v + 100 WHERE id = 1")
	if err := b.Commit(); number(err) != 1213 {
		t.Fatal(err)
	}
	// Another row does not matter, and what is rolled back was never there.
	exec(t, c, "UPDATE t SET v = 20 WHERE id = 2")
	must(t, c.Commit())
	a = begin()
	exec(t, a, "DELETE FROM t")
	must(t, a.Rollback())
	// A statement that fails does nothing; the transaction goes on.
	a = begin()
	exec(t, a, "INSERT INTO t VALUES (3, 3)")
	if n := code(t, a, "INSERT INTO t VALUES (4, 4), (1, 0)"); n != 1062 {
		t.Fatal(n)
	}
	exec(t, a, "INSERT INTO t VALUES (5, 5)")
	must(t, a.Commit())
	expect(t, db, []string{"1 11", "2 20", "3 3", "5 5"}, "SELECT * FROM t")
	// After a failure without a transaction, the next statement sees what is there.
	conn, err := db.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	if n := code(t, conn, "INSERT INTO t VALUES (1, 0)"); n != 1062 {
		t.Fatal(n)
	}
	exec(t, db, "DELETE FROM t WHERE id > 1")
	expect(t, conn, []string{"1 11"}, "SELECT * FROM t")
	if _, err := conn.ExecContext(t.Context(), "SELECT nothing FROM t"); err == nil {
		t.Fatal("no error")
	}
	exec(t, db, "INSERT INTO t VALUES (6, 6)")
	expect(t, conn, []string{"1 11", "6 6"}, "SELECT * FROM t")
	// Without autocommit.
	exec(t, conn, "SET autocommit = 0")
	exec(t, conn, "INSERT INTO t VALUES (7, 7)")
	expect(t, db, []string{"1 11", "6 6"}, "SELECT * FROM t")
	if n := code(t, conn, "INSERT INTO t VALUES (1, 0)"); n != 1062 {
		t.Fatal(n)
	}
	exec(t, conn, "COMMIT")
	expect(t, db, []string{"1 11", "6 6", "7 7"}, "SELECT * FROM t")
}

// A client that goes leaves nothing of a transaction that it has not committed, and nothing
// that another one waits for.
func TestClientGone(t *testing.T) {
	db, _ := serve(t, t.TempDir())
	exec(t, db, "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT)")
	exec(t, db, "INSERT INTO t VALUES (1, 1)")
	conn, err := db.Conn(t.Context())
	must(t, err)
	exec(t, conn, "START TRANSACTION")
	exec(t, conn, "UPDATE t SET v = 2")
	conn.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	conn.Close()
	exec(t, db, "UPDATE t SET v = v + 5")
	expect(t, db, []string{"1 6"}, "SELECT * FROM t")
}

// Rows are found by the index as they are without it, and the index is used.
func TestIndex(t *testing.T) {
	db, _ := serve(t, t.TempDir())
	exec(t, db, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, same BIGINT)")
	ids := []string{"-9223372036854775808", "-5", "-1", "0", "1", "2", "3", "10", "11", "4503599627370497", "9223372036854775807"}
	for _, id := range ids {
		exec(t, db, "INSERT INTO t VALUES ("+id+", "+id+")")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	number := func() string {
		list := append([]string{"1.5", "-0.5", "2.0", "9", "4", "100000"}, ids...)
		return list[rnd.IntN(len(list))]
	}
	var condition func(depth int) string
	condition = func(depth int) string {
		switch n := rnd.IntN(6 + 2*depth); {
		case n >= 6:
			op := "AND"
			if rnd.IntN(2) == 0 {
				op = "OR"
			}
			return "(" + condition(depth-1) + " " + op + " " + condition(depth-1) + ")"
		case n == 5:
			return "X BETWEEN " + number() + " AND " + number()
		case n == 4:
			return "X IN (" + number() + ", " + number() + ", " + number() + ")"
		case n == 3:
			return number() + " < X"
		default:
			return "X " + []string{"=", "<", "<=", ">", ">=", "<>"}[rnd.IntN(6)] + " " + number()
		}
	}
	for range 300 {
		c := condition(2)
		want := query(t, db, "SELECT id FROM t WHERE "+strings.ReplaceAll(c, "X", "same"))
		if got := query(t, db, "SELECT id FROM t WHERE "+strings.ReplaceAll(c, "X", "id")); !slices.Equal(got, want) {
			t.Fatalf("%s: %q, without the index %q", c, got, want)
		}
	}
	for _, text := range []string{"SELECT same FROM t WHERE id = 3", "SELECT same FROM t WHERE id BETWEEN 2 AND 5", "UPDATE t SET same = 1 WHERE id = 3", "DELETE FROM t WHERE id = 3", "SELECT same FROM t WHERE id > 3 AND id < 8"} {
		if plan := strings.Join(query(t, db, "EXPLAIN FORMAT=tree "+text), "\n"); !strings.Contains(plan, "IndexedTableAccess") {
			t.Errorf("%s:\n%s", text, plan)
		}
	}
}

// What a client is told decides what it does: only the first may be done again.
func TestErrors(t *testing.T) {
	for err, want := range map[error]string{
		store.ErrConflict: "1213) (sqlstate 40001",
		store.ErrNoTable:  "1146",
		store.ErrFailed:   "1105",
		store.ErrTooLarge: "1105",
	} {
		if got := mysqlError(fmt.Errorf("x: %w", err)).Error(); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func BenchmarkPoint(b *testing.B) {
	s, _, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go New(s, "bank").Serve(l)
	db, err := sql.Open("mysql", "root@tcp("+l.Addr().String()+")/bank?interpolateParams=true")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{"CREATE TABLE t (id INT NOT NULL PRIMARY KEY, c VARCHAR(20))", "INSERT INTO t VALUES (1, 'c')"} {
		if _, err := db.Exec(text); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		var c string
		if err := db.QueryRow("SELECT c FROM t WHERE id = ?", 1).Scan(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// Clients that go do not stop those that look tables up.
func TestClientsGo(t *testing.T) {
	s, _, err := store.Open(t.TempDir(), store.Options{})
	must(t, err)
	defer s.Close()
	must(t, s.Create("accounts", "CREATE TABLE accounts (id INT NOT NULL PRIMARY KEY)"))
	c := New(s, "bank").handler.engine.Analyzer.Catalog
	ctx := gmssql.NewEmptyContext()
	looked := make(chan error, 1)
	go func() {
		for range 100_000 {
			if _, _, err := c.Table(ctx, "bank", "accounts"); err != nil {
				looked <- err
				return
			}
		}
		close(looked)
	}()
	for {
		gone := make(chan error, 1)
		go func() { gone <- c.UnlockTables(ctx, 1) }()
		select {
		case err := <-gone:
			must(t, err)
		case <-time.After(time.Minute):
			t.Fatal("a client that goes, and one that looks a table up, wait for each other")
		}
		select {
		case err := <-looked:
			must(t, err)
			return
		default:
		}
	}
}
