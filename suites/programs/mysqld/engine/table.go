package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dolthub/go-mysql-server/sql"

	"hurdlab/suites/programs/mysqld/store"
)

// A table is one of a statement: its rows are those of the context's transaction.
type table struct {
	db     *database
	name   string
	schema sql.Schema
	keys   []int // columns of the primary key
	index  *index
	lookup *lookup // if not nil, only those rows
}

var (
	_ sql.IndexedTable     = (*table)(nil)
	_ sql.InsertableTable  = (*table)(nil)
	_ sql.UpdatableTable   = (*table)(nil)
	_ sql.DeletableTable   = (*table)(nil)
	_ sql.ReplaceableTable = (*table)(nil)
	_ sql.StatisticsTable  = (*table)(nil)
)

func newTable(d *database, name string, schema sql.Schema) *table {
	t := &table{db: d, name: name, schema: schema}
	for i, c := range schema {
		if c.PrimaryKey {
			t.keys = append(t.keys, i)
		}
	}
	if c := schema[t.keys[0]]; len(t.keys) == 1 && sql.IsInteger(c.Type) {
		t.index = &index{table: t, column: c}
	}
	return t
}

func (t *table) Name() string       { return t.name }
func (t *table) String() string     { return t.name }
func (t *table) Schema() sql.Schema { return t.schema }

func (t *table) NumRows(ctx *sql.Context) (uint64, error) {
	n, err := t.db.tx(ctx).Len(t.name)
	return uint64(n), err
}

// DataLength is not known.
func (t *table) DataLength(ctx *sql.Context) (uint64, error) { return 0, nil }

func (t *table) GetIndexes(*sql.Context) ([]sql.Index, error) {
	if t.index == nil {
		return nil, nil
	}
	return []sql.Index{t.index}, nil
}

func (t *table) WithIndexLookup(l sql.IndexLookup) sql.Table {
	with := *t
	with.lookup, _ = l.(*lookup)
	return &with
}

// A partition is all of a table.
type partition struct{}

func (partition) Key() []byte { return []byte("all") }

// partitions is the iterator over the one that there is.
type partitions struct{ done bool }

func (p *partitions) Next() (sql.Partition, error) {
	if p.done {
		return nil, io.EOF
	}
	p.done = true
	return partition{}, nil
}

func (p *partitions) Close(*sql.Context) error { return nil }

func (t *table) Partitions(*sql.Context) (sql.PartitionIter, error) { return new(partitions), nil }

func (t *table) PartitionRows(ctx *sql.Context, _ sql.Partition) (sql.RowIter, error) {
	// All at once: a statement does not see what itself writes.
	tx := t.db.tx(ctx)
	if t.lookup == nil {
		list, err := tx.Range(nil, t.name, "", "")
		return &rows{list}, mysqlError(err)
	}
	var list []*store.Record
	for _, s := range t.lookup.spans {
		var err error
		if list, err = tx.Range(list, t.name, ordinalKey(s.first), ordinalKey(s.last)+"\x00"); err != nil {
			return nil, mysqlError(err)
		}
	}
	return &rows{list}, nil
}

type rows struct{ left []*store.Record }

func (r *rows) Next() (sql.Row, error) {
	if len(r.left) == 0 {
		return nil, io.EOF
	}
	row := r.left[0].Row
	r.left = r.left[1:]
	return row, nil
}

func (r *rows) Close(*sql.Context) error { return nil }

// ordinalKey is the key of a row of a table with an index.
func ordinalKey(ordinal uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, ordinal))
}

// key is the key of a row: its primary key, so that other ones have other keys, and integers are in
// their order.
func (t *table) key(row sql.Row) (string, error) {
	var b []byte
	for _, i := range t.keys {
		switch v := row[i].(type) {
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case []byte:
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		default:
			n, ok := exact(v)
			if !ok {
				return "", fmt.Errorf("column %s: %v (%T) is no key", t.schema[i].Name, v, v)
			}
			b = append(b, ordinalKey(n)...)
		}
	}
	return string(b), nil
}

// check says whether a row can be in the table.
func (t *table) check(row sql.Row) error {
	if len(row) != len(t.schema) {
		return sql.ErrUnexpectedRowLength.New(len(t.schema), len(row))
	}
	for i, c := range t.schema {
		if row[i] == nil && !c.Nullable {
			return sql.ErrInsertIntoNonNullableProvidedNull.New(c.Name)
		}
		if !c.Check(row[i]) {
			return sql.ErrInvalidType.New(row[i])
		}
	}
	return nil
}

func (t *table) Inserter(ctx *sql.Context) sql.RowInserter { return t.editor(ctx) }
func (t *table) Updater(ctx *sql.Context) sql.RowUpdater   { return t.editor(ctx) }
func (t *table) Deleter(ctx *sql.Context) sql.RowDeleter   { return t.editor(ctx) }
func (t *table) Replacer(ctx *sql.Context) sql.RowReplacer { return t.editor(ctx) }

func (t *table) editor(ctx *sql.Context) *editor {
	tx, _ := ctx.GetTransaction().(*transaction)
	return &editor{t, tx}
}

// An editor is a statement that writes.
type editor struct {
	*table
	tx *transaction
}

func (e *editor) StatementBegin(*sql.Context) {
	if e.tx != nil && !e.tx.statement {
		e.tx.statement, e.tx.mark = true, e.tx.Mark()
	}
}

func (e *editor) DiscardChanges(*sql.Context, error) error {
	if e.tx != nil && e.tx.statement {
		e.tx.Back(e.tx.mark)
		e.tx.statement = false
	}
	return nil
}

func (e *editor) StatementComplete(*sql.Context) error {
	if e.tx != nil {
		e.tx.statement = false
	}
	return nil
}

func (e *editor) Close(*sql.Context) error { return nil }

var errNoTransaction = errors.New("a statement that writes needs a transaction")

// put writes a row that may not be there.
func (e *editor) put(row sql.Row) error {
	if e.tx == nil {
		return errNoTransaction
	}
	if err := e.check(row); err != nil {
		return err
	}
	key, err := e.key(row)
	if err != nil {
		return err
	}
	there, err := e.tx.Get(e.name, key)
	if err != nil {
		return mysqlError(err)
	}
	if there != nil {
		var values []any
		for _, i := range e.keys {
			values = append(values, row[i])
		}
		return sql.NewUniqueKeyErr(fmt.Sprint(values), true, there.Row)
	}
	return mysqlError(e.tx.Put(e.name, key, row.Copy()))
}

// remove removes the row that has a row's key.
func (e *editor) remove(row sql.Row) (found bool, err error) {
	if e.tx == nil {
		return false, errNoTransaction
	}
	key, err := e.key(row)
	if err != nil {
		return false, err
	}
	there, err := e.tx.Get(e.name, key)
	if err != nil || there == nil {
		return false, mysqlError(err)
	}
	return true, mysqlError(e.tx.Delete(e.name, key))
}

func (e *editor) Insert(_ *sql.Context, row sql.Row) error { return e.put(row) }

func (e *editor) Delete(_ *sql.Context, row sql.Row) error {
	found, err := e.remove(row)
	if err == nil && !found {
		err = sql.ErrDeleteRowNotFound.New()
	}
	return err
}

func (e *editor) Update(_ *sql.Context, old, row sql.Row) error {
	found, err := e.remove(old)
	if err == nil && !found {
		err = sql.ErrDeleteRowNotFound.New()
	}
	if err != nil {
		return err
	}
	return e.put(row)
}
