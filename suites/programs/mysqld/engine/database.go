package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/parse"
	"github.com/dolthub/go-mysql-server/sql/plan"

	"hurdlab/suites/programs/mysqld/store"
)

// A provider is the databases that there are.
type provider []sql.Database

func (p provider) Database(name string) (sql.Database, error) {
	for _, db := range p {
		if strings.EqualFold(db.Name(), name) {
			return db, nil
		}
	}
	return nil, sql.ErrDatabaseNotFound.New(name)
}

func (p provider) HasDatabase(name string) bool {
	_, err := p.Database(name)
	return err == nil
}

func (p provider) AllDatabases() []sql.Database { return p }

// A catalog is the library's, but for its look-ups of tables: those take its lock for reading
// twice, and if a client goes between the two, which takes it for writing, they and all clients
// stand still for ever. The databases do not change, so no lock is needed.
type catalog struct {
	sql.Catalog
	provider provider
}

func (c catalog) Table(ctx *sql.Context, dbName, tableName string) (sql.Table, sql.Database, error) {
	db, err := c.provider.Database(dbName)
	if err != nil {
		return nil, nil, err
	}
	table, ok, err := db.GetTableInsensitive(ctx, tableName)
	if err == nil && !ok {
		err = sql.ErrTableNotFound.New(tableName)
	}
	if err != nil {
		return nil, nil, err
	}
	return table, db, nil
}

func (c catalog) TableAsOf(_ *sql.Context, _, tableName string, _ any) (sql.Table, sql.Database, error) {
	return nil, nil, sql.ErrAsOfNotSupported.New(tableName)
}

// A database is that of a store. Names of tables are in lower case there.
type database struct {
	store *store.Store
	name  string

	schemas sync.Map // by the text that the store has: sql.Schema
}

var (
	_ sql.TransactionDatabase = (*database)(nil)
	_ sql.TableCreator        = (*database)(nil)
	_ sql.TableDropper        = (*database)(nil)
)

func (d *database) Name() string { return d.name }

// tx is the transaction of a context, or one for reading.
func (d *database) tx(ctx *sql.Context) *store.Tx {
	if t, ok := ctx.GetTransaction().(*transaction); ok {
		return t.Tx
	}
	return d.store.Begin()
}

func (d *database) GetTableInsensitive(ctx *sql.Context, name string) (sql.Table, bool, error) {
	name = strings.ToLower(name)
	text, ok := d.tx(ctx).Schema(name)
	if !ok {
		return nil, false, nil
	}
	schema, err := d.schema(text)
	if err != nil {
		return nil, false, err
	}
	return newTable(d, name, schema), true, nil
}

func (d *database) GetTableNames(ctx *sql.Context) ([]string, error) { return d.tx(ctx).Tables(), nil }

func (d *database) StartTransaction(ctx *sql.Context, c sql.TransactionCharacteristic) (sql.Transaction, error) {
	return &transaction{Tx: d.store.Begin(), readOnly: c == sql.ReadOnly}, nil
}

func (d *database) CommitTransaction(ctx *sql.Context, tx sql.Transaction) error { return commit(tx) }

// Rollback: what is not committed is nowhere else.
func (d *database) Rollback(*sql.Context, sql.Transaction) error { return nil }

var errSavepoints = errors.New("there are no savepoints")

func (d *database) CreateSavepoint(*sql.Context, sql.Transaction, string) error { return errSavepoints }
func (d *database) RollbackToSavepoint(*sql.Context, sql.Transaction, string) error {
	return errSavepoints
}
func (d *database) ReleaseSavepoint(*sql.Context, sql.Transaction, string) error {
	return errSavepoints
}

// change changes which tables there are, outside of the transaction that there is, which is
// committed, and followed by another.
func (d *database) change(ctx *sql.Context, do func() error) error {
	if err := commit(ctx.GetTransaction()); err != nil {
		return err
	}
	err := do()
	ctx.SetIgnoreAutoCommit(false)
	ctx.SetTransaction(&transaction{Tx: d.store.Begin()})
	return err
}

func (d *database) CreateTable(ctx *sql.Context, name string, schema sql.Schema) error {
	name = strings.ToLower(name)
	text, err := d.text(name, schema)
	if err != nil {
		return err
	}
	return d.change(ctx, func() error {
		err := d.store.Create(name, text)
		if errors.Is(err, store.ErrExists) {
			return sql.ErrTableAlreadyExists.New(name)
		}
		return mysqlError(err)
	})
}

func (d *database) DropTable(ctx *sql.Context, name string) error {
	name = strings.ToLower(name)
	return d.change(ctx, func() error {
		err := d.store.Drop(name)
		if errors.Is(err, store.ErrNoTable) {
			return sql.ErrTableNotFound.New(name)
		}
		return mysqlError(err)
	})
}

// checkSchema says why a table cannot be kept.
func checkSchema(schema sql.Schema) error {
	keys := 0
	for _, c := range schema {
		if c.AutoIncrement || c.Default != nil {
			return fmt.Errorf("column %s: AUTO_INCREMENT and DEFAULT cannot be kept", c.Name)
		}
		if !sql.IsNumber(c.Type) && !sql.IsText(c.Type) || sql.IsDecimal(c.Type) {
			return fmt.Errorf("column %s: values of type %s cannot be kept", c.Name, c.Type)
		}
		if c.PrimaryKey {
			keys++
			if !sql.IsInteger(c.Type) && !sql.IsText(c.Type) {
				return fmt.Errorf("column %s: type %s cannot be of a primary key", c.Name, c.Type)
			}
		}
	}
	if keys == 0 {
		return errors.New("a table needs a primary key")
	}
	return nil
}

// text is a schema as the store has it: a statement that makes the table.
func (d *database) text(name string, schema sql.Schema) (string, error) {
	if err := checkSchema(schema); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE `%s` (", name)
	var keys []string
	for _, c := range schema {
		if strings.Contains(c.Name, "`") {
			return "", fmt.Errorf("column %q: it cannot have that name", c.Name)
		}
		fmt.Fprintf(&b, "`%s` %s", c.Name, c.Type)
		if !c.Nullable {
			b.WriteString(" NOT NULL")
		}
		b.WriteString(", ")
		if c.PrimaryKey {
			keys = append(keys, "`"+c.Name+"`")
		}
	}
	fmt.Fprintf(&b, "PRIMARY KEY (%s))", strings.Join(keys, ", "))
	// It must mean the same when it is read again.
	again, err := d.schema(b.String())
	if err != nil {
		return "", err
	}
	for i, c := range schema {
		if x := again[i]; x.Type.String() != c.Type.String() || x.Nullable != c.Nullable || x.PrimaryKey != c.PrimaryKey || x.Name != c.Name {
			return "", fmt.Errorf("column %s: %s cannot be kept", c.Name, c.Type)
		}
	}
	return b.String(), nil
}

// schema reads what text has made.
func (d *database) schema(text string) (sql.Schema, error) {
	if s, ok := d.schemas.Load(text); ok {
		return s.(sql.Schema), nil
	}
	n, err := parse.Parse(sql.NewEmptyContext(), text)
	if err != nil {
		return nil, err
	}
	create, ok := n.(*plan.CreateTable)
	if !ok {
		return nil, fmt.Errorf("a table's schema is %q", text)
	}
	d.schemas.Store(text, create.Schema())
	return create.Schema(), nil
}
