package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The bank has accounts with a balance each, and a list of the transfers that have been
// made. A transfer is a transaction: it reads the balance of the one who gives, and, if
// there is enough, changes both balances and adds itself to the list. So the list says
// what the balances must be.
//
// A transfer whose COMMIT has no answer may have been made or not. It is done again
// under the same number, which can be in the list once: it is in the list then, whoever
// has put it there, and the money has been moved once.

// initial is what each account has at first.
const initial = 1000

// openBank makes the bank's tables, anew.
func (o *options) openBank(ctx context.Context) error {
	db, err := o.connect()
	if err != nil {
		return err
	}
	defer db.Close()
	var values []string
	for id := range o.accounts {
		values = append(values, fmt.Sprintf("(%d, %d)", id, initial))
	}
	for _, text := range []string{
		"DROP TABLE IF EXISTS accounts",
		"DROP TABLE IF EXISTS transfers",
		"CREATE TABLE accounts (id INT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL)",
		"CREATE TABLE transfers (id BIGINT NOT NULL PRIMARY KEY, giver INT NOT NULL, taker INT NOT NULL, amount BIGINT NOT NULL)",
		"INSERT INTO accounts VALUES " + strings.Join(values, ", "),
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// A BankReport is what the clients of a bank have seen.
type BankReport struct {
	Run  int64   `json:"run"`
	Seed uint64  `json:"seed"`
	Took float64 `json:"took_s"`
	// Made transfers are those whose COMMIT was answered, or that were found in the list
	// after one that was not: Found. All of them were in the list at the end.
	Made  int `json:"made"`
	Found int `json:"found"`
	// Unknown are those whose COMMIT had no answer when the time was over: the list may
	// have them, now or later.
	Unknown int `json:"unknown"`
	// Refused are those for which there was not enough money.
	Refused int `json:"refused"`
	// Conflicts and Lost is how often one was done again: because another was in the
	// way, and because there was no answer.
	Conflicts int `json:"conflicts"`
	Lost      int `json:"lost"`
	// Gap is the longest time in which no transfer was made.
	Gap float64 `json:"gap_s"`
}

// Transfer numbers: run, client, and how often.
const (
	perClient = 1_000_000
	perRun    = 1_000 * perClient
)

type transfer struct {
	id, giver, taker, amount int64
}

// A fate is what became of a transfer.
type fate int

const (
	notMade fate = iota // and will not be
	made
	unknown
	refused
)

// A teller is a client of the bank.
type teller struct {
	o      *options
	db     *sql.DB
	rnd    *rand.Rand
	report BankReport
	fates  map[int64]fate
	was    map[int64]transfer
	ends   []time.Time
}

var errRefused = errors.New("not enough money")

// attempt tries to make a transfer. Committing is whether COMMIT may have been sent.
func (t *teller) attempt(ctx context.Context, x transfer) (committing bool, err error) {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	var balance int64
	if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = ?", x.giver).Scan(&balance); err != nil {
		return false, err
	}
	// First of all the list: if it has the transfer, the balance does not matter.
	if _, err := tx.ExecContext(ctx, "INSERT INTO transfers VALUES (?, ?, ?, ?)", x.id, x.giver, x.taker, x.amount); err != nil {
		return false, err
	}
	if balance < x.amount {
		return false, errRefused
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE id = ?", x.amount, x.giver); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = ?", x.amount, x.taker); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// away is the time between two attempts to reach a server that may be away, and then says so at once.
const away = 50 * time.Millisecond

// duplicate is the server's error about a key that is there.
const duplicate = 1062

// unsure is the server's error when it does not know either.
const unsure = 1105

// make makes a transfer, or as good as that can be done until ctx ends.
func (t *teller) make(ctx context.Context, x transfer) (fate, error) {
	pending := false
	for {
		// Not ended with the time: what has been begun gets an answer, or none within the time
		// for one.
		committing, err := t.attempt(context.WithoutCancel(ctx), x)
		switch {
		case err == nil:
			return made, nil
		case errors.Is(err, errRefused):
			if pending {
				return unknown, nil // the COMMIT that had no answer may come yet
			}
			return refused, nil
		case number(err) == duplicate:
			if !pending {
				return notMade, fmt.Errorf("%w: transfer %d is in the list, and nobody has made it", errWrong, x.id)
			}
			t.report.Found++
			return made, nil
		case again(err):
			t.report.Conflicts++
		case !lost(err) && !(committing && number(err) == unsure):
			return notMade, err
		default:
			t.report.Lost++
			pending = pending || committing
			select {
			case <-ctx.Done():
			case <-time.After(away):
			}
		}
		if ctx.Err() != nil {
			if pending {
				return unknown, nil
			}
			return notMade, nil
		}
	}
}

// lost says whether an error is that of a connection: there is no answer.
func lost(err error) bool {
	var n net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n)
}

func (t *teller) work(ctx context.Context, first int64) error {
	for n := int64(0); ctx.Err() == nil && n < perClient; n++ {
		x := transfer{id: first + n, giver: t.rnd.Int64N(int64(t.o.accounts)), amount: 1 + t.rnd.Int64N(initial/4)}
		x.taker = (x.giver + 1 + t.rnd.Int64N(int64(t.o.accounts-1))) % int64(t.o.accounts)
		f, err := t.make(ctx, x)
		if err != nil {
			return err
		}
		t.fates[x.id], t.was[x.id] = f, x
		switch f {
		case made:
			t.report.Made++
			t.ends = append(t.ends, time.Now())
		case unknown:
			t.report.Unknown++
		case refused:
			t.report.Refused++
		}
	}
	return nil
}

// transfer runs clients that transfer money, and then looks for their transfers in the list.
func (o *options) transfer(ctx context.Context) (*BankReport, error) {
	var tellers []*teller
	r, err := o.transferBy(ctx, &tellers)
	if err != nil {
		return r, err
	}
	over := time.Now()
	there, err := o.list(ctx)
	for err != nil && lost(err) && time.Since(over) < o.patience {
		time.Sleep(away)
		there, err = o.list(ctx)
	}
	if err != nil {
		return r, err
	}
	return r, compare(tellers, there, o.run)
}

// transferBy runs clients that transfer money, for a time, whatever happens to the server.
func (o *options) transferBy(ctx context.Context, tellers *[]*teller) (*BankReport, error) {
	if o.clients >= perRun/perClient {
		return nil, errors.New("there are too many clients")
	}
	began := time.Now()
	r := &BankReport{Run: o.run, Seed: o.seed}
	working, cancel := context.WithTimeoutCause(ctx, o.time, nil)
	defer cancel()
	list := make([]*teller, o.clients)
	*tellers = list
	errs := make([]error, o.clients)
	var wg sync.WaitGroup
	for i := range list {
		db, err := o.connect()
		if err != nil {
			return nil, err
		}
		defer db.Close()
		list[i] = &teller{o: o, db: db, rnd: rand.New(rand.NewPCG(o.seed, uint64(i))), fates: make(map[int64]fate), was: make(map[int64]transfer)}
		wg.Go(func() {
			if errs[i] = list[i].work(working, o.run*perRun+int64(i)*perClient); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	last := []time.Time{began}
	for _, t := range list {
		r.Made += t.report.Made
		r.Found += t.report.Found
		r.Unknown += t.report.Unknown
		r.Refused += t.report.Refused
		r.Conflicts += t.report.Conflicts
		r.Lost += t.report.Lost
		last = append(last, t.ends...)
	}
	r.Took, r.Gap = time.Since(began).Seconds(), gap(last)
	return r, errors.Join(errs...)
}

// compare says whether the list has what the clients were told.
func compare(list []*teller, there map[int64]transfer, run int64) error {
	for _, t := range list {
		for id, f := range t.fates {
			x, ok := there[id]
			switch {
			case f == made && !ok:
				return fmt.Errorf("%w: transfer %d was made, and is not in the list", errWrong, id)
			case (f == notMade || f == refused) && ok:
				return fmt.Errorf("%w: transfer %d was not made, and is in the list", errWrong, id)
			case ok && x != t.was[id]:
				return fmt.Errorf("%w: transfer %d was %+v, and is %+v in the list", errWrong, id, t.was[id], x)
			}
		}
	}
	for id := range there {
		if id/perRun != run {
			continue
		}
		client := int(id % perRun / perClient)
		if client >= len(list) {
			return fmt.Errorf("%w: transfer %d is in the list, and nobody has made it", errWrong, id)
		}
		if _, ok := list[client].fates[id]; !ok {
			return fmt.Errorf("%w: transfer %d is in the list, and nobody has made it", errWrong, id)
		}
	}
	return nil
}

// gap is the longest time between two.
func gap(list []time.Time) float64 {
	var longest time.Duration
	slices.SortFunc(list, time.Time.Compare)
	for i := 1; i < len(list); i++ {
		longest = max(longest, list[i].Sub(list[i-1]))
	}
	return longest.Seconds()
}

// list reads the list of transfers.
func (o *options) list(ctx context.Context) (map[int64]transfer, error) {
	db, err := o.connect()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return readList(ctx, db)
}

func readList(ctx context.Context, q querier) (map[int64]transfer, error) {
	rows, err := q.QueryContext(ctx, "SELECT id, giver, taker, amount FROM transfers")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	there := make(map[int64]transfer)
	for rows.Next() {
		var x transfer
		if err := rows.Scan(&x.id, &x.giver, &x.taker, &x.amount); err != nil {
			return nil, err
		}
		there[x.id] = x
	}
	return there, rows.Err()
}

// An Audit is what there is at a time.
type Audit struct {
	Accounts  int   `json:"accounts"`
	Sum       int64 `json:"sum"`
	Transfers int   `json:"transfers"`
}

// audit reads all accounts and transfers, as they are at one time, and says whether the
// balances are what the transfers have made of them, and none is below zero.
func (o *options) audit(ctx context.Context) (*Audit, error) {
	db, err := o.connect()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT id, balance FROM accounts")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a := new(Audit)
	balances := make(map[int64]int64)
	for rows.Next() {
		var id, balance int64
		if err := rows.Scan(&id, &balance); err != nil {
			return nil, err
		}
		balances[id] = balance
		a.Sum += balance
		a.Accounts++
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	there, err := readList(ctx, tx)
	if err != nil {
		return nil, err
	}
	a.Transfers = len(there)
	want := make(map[int64]int64)
	for id := range balances {
		want[id] = initial
	}
	for _, x := range there {
		want[x.giver] -= x.amount
		want[x.taker] += x.amount
	}
	for id, w := range want {
		if b := balances[id]; b != w || b < 0 {
			return a, fmt.Errorf("%w: account %d has %d, and after its transfers should have %d", errWrong, id, b, w)
		}
	}
	if sum := int64(a.Accounts) * initial; a.Sum != sum || a.Accounts != o.accounts {
		return a, fmt.Errorf("%w: %d accounts have %d together, and had %d", errWrong, a.Accounts, a.Sum, sum)
	}
	return a, nil
}
