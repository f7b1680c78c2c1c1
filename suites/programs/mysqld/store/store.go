// Package store keeps tables of rows, sorted by key, in memory and in a [journal]. It
// knows nothing of SQL: package engine does.
//
// # Transactions
//
// A transaction sees the rows as they were, committed, when it began, and what it has
// written itself; nothing else (snapshot isolation). At [Tx.Commit] it fails with
// [ErrConflict] if one of the rows that it has written, or written first, is not any more
// what it was when the transaction began: of two transactions that write the same
// row at a time, the one that commits first wins. Nobody waits for a row, so nobody
// can hold one and go away. What it does not prevent: two
// transactions that each read what the other writes, and write different rows (write
// skew).
//
// When Commit has returned without an error, the transaction is in the journal, on the
// medium, and others begin to see it only then. Those that are committed at the same time
// are in one record of the journal, so that they wait for the medium together; all of a
// record is there after a crash, or nothing.
//
// When the journal cannot be written, what it has is not known: the transactions that
// waited fail with [ErrFailed], which of them all others fail from then on, and the
// store has to be opened again to find out.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"hurdlab/suites/programs/mysqld/journal"
)

// Errors of transactions.
var (
	// ErrConflict is of a transaction that wrote what another has committed meanwhile.
	ErrConflict = errors.New("store: conflict: another transaction was first")
	// ErrFailed is when the journal could not be written: it is not known whether the
	// transaction is in it.
	ErrFailed = errors.New("store: the journal cannot be written")
	// ErrClosed is after [Store.Close].
	ErrClosed = errors.New("store: closed")
	// ErrNoTable is of a table that the transaction does not see.
	ErrNoTable = errors.New("store: no such table")
	// ErrExists is of a table that is there already.
	ErrExists = errors.New("store: the table is there already")
	// ErrTooLarge is of a transaction that has written too much.
	ErrTooLarge = errors.New("store: the transaction is too large")
)

// MaxTransaction is how much a transaction may write, encoded, in bytes.
const MaxTransaction = 16 << 20

// batch is how much goes into a record of the journal; one transaction more than it.
const batch = 1 << 20

// chunk is the length of the records of a journal that is made anew.
const chunk = 256 << 10

// A Record is a row and its key. Neither is ever changed.
type Record struct {
	Key string
	Row []any // see the package's codec for the types
}

type tree = btree.BTreeG[*Record]

func newTree() *tree {
	return btree.NewG(32, func(a, b *Record) bool { return a.Key < b.Key })
}

// A table is that of a state. It is not changed once the state is published, but for the
// tree's marks of what is shared, by Clone, under Store.mu.
type table struct {
	id     uint64 // another one for a table of the same name made later
	name   string
	schema string
	rows   *tree
}

// A state is all that is committed at a time.
type state struct{ tables map[string]*table }

// Options are of a store.
type Options struct {
	// Compact is the length of the journal, in bytes, from which on it is made anew
	// when it is also twice as long as when it was made anew last. 0 stands for 4 MiB.
	Compact int64
}

// Opened says what was found.
type Opened struct {
	journal.Opened
	Tables, Rows int
}

// A Store is open. Its methods may be called at any time by anybody.
type Store struct {
	options Options
	journal *journal.Journal // the committer's
	made    int64            // its length when it was made anew
	ids     uint64           // the committer's: of the last table made

	mu      sync.Mutex // for cloning trees of the current state
	current atomic.Pointer[state]

	commits chan *commit
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the committer has ended
	failed  chan struct{} // closed when the journal could not be written
	failure error         // set before that
	once    sync.Once
}

// Open opens the store in a directory that is there. Only one process may; see package main.
func Open(dir string, o Options) (*Store, Opened, error) {
	if o.Compact == 0 {
		o.Compact = 4 << 20
	}
	s := &Store{
		options: o,
		commits: make(chan *commit),
		stop:    make(chan struct{}), stopped: make(chan struct{}), failed: make(chan struct{}),
	}
	n := s.change(&state{tables: make(map[string]*table)})
	var found Opened
	var err error
	s.journal, found.Opened, err = journal.Open(filepath.Join(dir, "journal"), func(payload []byte) error {
		ops, err := decode(payload)
		if err != nil {
			return err
		}
		for _, op := range ops {
			if err := n.apply(op); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, found, err
	}
	s.current.Store(n.state)
	found.Tables = len(n.state.tables)
	for _, t := range n.state.tables {
		found.Rows += t.rows.Len()
	}
	go s.commit()
	return s, found, nil
}

// Close waits for the transactions that are being committed, and closes the journal.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.stopped
	return s.journal.Close()
}

// Failed is closed when the journal could not be written.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// A changing state is a copy that shares what has not been changed.
type changing struct {
	s     *Store
	state *state
	own   map[string]bool // tables whose trees are copies already
}

func (s *Store) change(from *state) *changing {
	return &changing{s, &state{tables: maps.Clone(from.tables)}, make(map[string]bool)}
}

// rows is the tree of a table, to be changed.
func (c *changing) rows(name string) (*tree, error) {
	t := c.state.tables[name]
	if t == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoTable, name)
	}
	if !c.own[name] {
		c.s.mu.Lock()
		copied := *t
		copied.rows = t.rows.Clone()
		c.s.mu.Unlock()
		t = &copied
		c.state.tables[name] = t
		c.own[name] = true
	}
	return t.rows, nil
}

func (c *changing) apply(op op) error {
	switch op.kind {
	case opCreate:
		if c.state.tables[op.table] != nil {
			return fmt.Errorf("%w: %s", ErrExists, op.table)
		}
		c.s.ids++
		c.state.tables[op.table] = &table{id: c.s.ids, name: op.table, schema: op.schema, rows: newTree()}
		c.own[op.table] = true
		return nil
	case opDrop:
		if c.state.tables[op.table] == nil {
			return fmt.Errorf("%w: %s", ErrNoTable, op.table)
		}
		delete(c.state.tables, op.table)
		delete(c.own, op.table)
		return nil
	}
	rows, err := c.rows(op.table)
	if err != nil {
		return err
	}
	if op.kind == opDelete {
		rows.Delete(&Record{Key: op.key})
	} else {
		rows.ReplaceOrInsert(&Record{Key: op.key, Row: op.row})
	}
	return nil
}

// A commit is a transaction that waits for its end.
type commit struct {
	ops     []op
	check   func(*state) error // whether it may be, after those in the state
	payload []byte
	err     error
	done    chan struct{}
}

// do has the committer commit.
func (s *Store) do(c *commit) error {
	for _, op := range c.ops {
		var err error
		if c.payload, err = op.append(c.payload); err != nil {
			return err
		}
		if len(c.payload) > MaxTransaction {
			return ErrTooLarge
		}
	}
	c.done = make(chan struct{})
	select {
	case s.commits <- c:
		<-c.done
		return c.err
	case <-s.stop:
		return ErrClosed
	case <-s.failed:
		return s.failure
	}
}

// commit is the committer: the only one that writes the journal and publishes states.
func (s *Store) commit() {
	defer close(s.stopped)
	for {
		var list []*commit
		select {
		case c := <-s.commits:
			list = append(list, c)
		case <-s.stop:
			return
		}
		size := len(list[0].payload)
	more:
		for size < batch {
			select {
			case c := <-s.commits:
				list = append(list, c)
				size += len(c.payload)
			default:
				break more
			}
		}
		err := s.together(list)
		for _, c := range list {
			if c.err == nil {
				c.err = err
			}
			close(c.done)
		}
		if err == nil && s.journal.Size() > max(s.options.Compact, 2*s.made) {
			err = s.compact()
		}
		if err != nil {
			s.failure = fmt.Errorf("%w: %w", ErrFailed, err)
			close(s.failed)
			return
		}
	}
}

// together commits transactions, those that may be. Its error is that of the journal.
func (s *Store) together(list []*commit) error {
	n := s.change(s.current.Load())
	var payload []byte
	for _, c := range list {
		if c.err = c.check(n.state); c.err != nil {
			continue
		}
		for _, op := range c.ops {
			if err := n.apply(op); err != nil {
				// Check has seen to it that it can be.
				panic(err)
			}
		}
		payload = append(payload, c.payload...)
	}
	if len(payload) == 0 {
		return nil
	}
	if err := s.journal.Append(payload); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.current.Store(n.state)
	return nil
}

// compact makes the journal anew, of what is there now.
func (s *Store) compact() error {
	now := s.current.Load()
	err := s.journal.Replace(func(put func([]byte) error) error {
		var b []byte
		add := func(op op) (err error) {
			if b, err = op.append(b); err == nil && len(b) >= chunk {
				err = put(b)
				b = b[:0]
			}
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(now.tables)) {
			t := now.tables[name]
			if err := add(op{kind: opCreate, table: name, schema: t.schema}); err != nil {
				return err
			}
			var err error
			t.rows.Ascend(func(r *Record) bool {
				err = add(op{kind: opPut, table: name, key: r.Key, row: r.Row})
				return err == nil
			})
			if err != nil {
				return err
			}
		}
		if len(b) == 0 {
			return nil
		}
		return put(b)
	})
	s.made = s.journal.Size()
	return err
}

// Create makes a table, at once: not in a transaction. Its schema means nothing here.
func (s *Store) Create(name, schema string) error {
	return s.do(&commit{ops: []op{{kind: opCreate, table: name, schema: schema}}, check: func(n *state) error {
		if n.tables[name] != nil {
			return fmt.Errorf("%w: %s", ErrExists, name)
		}
		return nil
	}})
}

// Drop removes a table and its rows, likewise.
func (s *Store) Drop(name string) error {
	return s.do(&commit{ops: []op{{kind: opDrop, table: name}}, check: func(n *state) error {
		if n.tables[name] == nil {
			return fmt.Errorf("%w: %s", ErrNoTable, name)
		}
		return nil
	}})
}

// Begin begins a transaction. One that is not committed needs no end.
func (s *Store) Begin() *Tx {
	return &Tx{s: s, base: s.current.Load(), own: make(map[string]*tree)}
}

// A Tx is a transaction. It is for one goroutine at a time.
type Tx struct {
	s      *Store
	base   *state
	own    map[string]*tree
	writes []write
	ended  bool
}

// A write is of a transaction; before is what was there.
type write struct {
	table, key    string
	before, after *Record
}

// Tables are the names of all tables, sorted.
func (t *Tx) Tables() []string { return slices.Sorted(maps.Keys(t.base.tables)) }

// Schema is a table's, as it was created with.
func (t *Tx) Schema(table string) (string, bool) {
	x := t.base.tables[table]
	if x == nil {
		return "", false
	}
	return x.schema, true
}

func (t *Tx) rows(table string) (*tree, error) {
	if own := t.own[table]; own != nil {
		return own, nil
	}
	x := t.base.tables[table]
	if x == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoTable, table)
	}
	return x.rows, nil
}

// Get returns the row with a key, or nil.
func (t *Tx) Get(table, key string) (*Record, error) {
	rows, err := t.rows(table)
	if err != nil {
		return nil, err
	}
	r, _ := rows.Get(&Record{Key: key})
	return r, nil
}

// Len is the number of a table's rows.
func (t *Tx) Len(table string) (int, error) {
	rows, err := t.rows(table)
	if err != nil {
		return 0, err
	}
	return rows.Len(), nil
}

// Range appends the rows whose keys are at least from and less than to, which may be "" for
// no bound, in order.
func (t *Tx) Range(list []*Record, table, from, to string) ([]*Record, error) {
	rows, err := t.rows(table)
	if err != nil {
		return nil, err
	}
	rows.AscendGreaterOrEqual(&Record{Key: from}, func(r *Record) bool {
		if to != "" && r.Key >= to {
			return false
		}
		list = append(list, r)
		return true
	})
	return list, nil
}

// Put writes a row.
func (t *Tx) Put(table, key string, row []any) error {
	return t.write(table, key, &Record{Key: key, Row: row})
}

// Delete removes a row, if there is one.
func (t *Tx) Delete(table, key string) error { return t.write(table, key, nil) }

func (t *Tx) write(table, key string, after *Record) error {
	own := t.own[table]
	if own == nil {
		base, err := t.rows(table)
		if err != nil {
			return err
		}
		t.s.mu.Lock()
		own = base.Clone()
		t.s.mu.Unlock()
		t.own[table] = own
	}
	w := write{table: table, key: key, after: after}
	w.before = set(own, key, after)
	t.writes = append(t.writes, w)
	return nil
}

func set(rows *tree, key string, r *Record) (before *Record) {
	if r == nil {
		before, _ = rows.Delete(&Record{Key: key})
	} else {
		before, _ = rows.ReplaceOrInsert(r)
	}
	return before
}

// Mark is a place to go back to.
func (t *Tx) Mark() int { return len(t.writes) }

// Back undoes what was written after a mark.
func (t *Tx) Back(mark int) {
	for len(t.writes) > mark {
		w := t.writes[len(t.writes)-1]
		set(t.own[w.table], w.key, w.before)
		t.writes = t.writes[:len(t.writes)-1]
	}
}

// Written says whether it has written anything.
func (t *Tx) Written() bool { return len(t.writes) > 0 }

// Ended says whether Commit has been called.
func (t *Tx) Ended() bool { return t.ended }

// Commit ends the transaction; see the package's description.
func (t *Tx) Commit() error {
	if t.ended {
		return errors.New("store: the transaction has ended")
	}
	t.ended = true
	if len(t.writes) == 0 {
		return nil
	}
	// The last of what was written of each row.
	slices.SortStableFunc(t.writes, func(a, b write) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key))
	})
	c := &commit{}
	for i, w := range t.writes {
		if i+1 < len(t.writes) && t.writes[i+1].table == w.table && t.writes[i+1].key == w.key {
			continue
		}
		if w.after == nil {
			c.ops = append(c.ops, op{kind: opDelete, table: w.table, key: w.key})
		} else {
			c.ops = append(c.ops, op{kind: opPut, table: w.table, key: w.key, row: w.after.Row})
		}
	}
	c.check = func(n *state) error {
		for _, op := range c.ops {
			was, now := t.base.tables[op.table], n.tables[op.table]
			if now == nil || now.id != was.id {
				return fmt.Errorf("%w: table %s", ErrConflict, op.table)
			}
			r, _ := was.rows.Get(&Record{Key: op.key})
			if x, _ := now.rows.Get(&Record{Key: op.key}); x != r {
				return fmt.Errorf("%w: a row of table %s", ErrConflict, op.table)
			}
		}
		return nil
	}
	return t.s.do(c)
}
