// Package engine lets clients of MySQL at a [store.Store]: it is the tables and
// transactions that the SQL engine of github.com/dolthub/go-mysql-server asks for, and
// what its server does not do about transactions.
//
// # What it can
//
// One database. Statements in text, with their values in it (the driver's
// interpolateParams=true): they cannot be prepared. Tables with a primary key, of integers, floating point numbers, texts and
// bytes, without defaults, AUTO_INCREMENT, and other indexes; see [checkSchema]. If the
// primary key is one column of integers, rows are looked up by it; all else reads the
// whole table. Statements are atomic. Tables are made and removed at
// once, which commits the transaction, as in MySQL.
//
// # Transactions
//
// They are those of package store, whatever level of isolation is asked for: a snapshot, and the
// first that commits wins. One that is not the first fails at COMMIT (or at the end of its
// statement, with autocommit) with error 1213, ER_LOCK_DEADLOCK, state 40001, which in
// MySQL, too, means: it was rolled back, do it again. No statement waits for another
// transaction. Locks (FOR UPDATE, LOCK TABLES) and savepoints are not there.
//
// When the journal could not be written, the error is 1105 (ER_UNKNOWN_ERROR), and it is not known
// whether the transaction is committed.
//
// # Users
//
// There are none: whoever can connect may do everything.
package engine

import (
	"context"
	"errors"
	"net"
	"sync"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/auth"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/information_schema"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/opentracing/opentracing-go"

	"hurdlab/suites/programs/mysqld/store"
)

// MaxConnections is how many clients there may be. Others wait.
const MaxConnections = 200

// A Server serves a store.
type Server struct{ handler *handler }

// New makes a server of a store, whose database has a name.
func New(s *store.Store, name string) *Server {
	p := provider{
		&database{store: s, name: name},
		information_schema.NewInformationSchemaDatabase(),
	}
	a := analyzer.NewDefault(p)
	a.Catalog = catalog{a.Catalog, p}
	e := sqle.New(a, nil)
	h := &handler{engine: e, clients: make(map[uint32]*client)}
	h.manager = server.NewSessionManager(h.session, opentracing.NoopTracer{},
		e.Analyzer.Catalog.HasDB, e.MemoryManager, e.ProcessList, "")
	h.Handler = server.NewHandler(e, h.manager, 0)
	return &Server{handler: h}
}

// Serve serves clients until the listener is closed, or fails.
func (s *Server) Serve(l net.Listener) error {
	ml, err := mysql.NewListenerWithConfig(mysql.ListenerConfig{
		Listener: plain{l}, AuthServer: new(auth.None).Mysql(), Handler: s.handler,
		MaxConns: MaxConnections, ConnReadBufferSize: mysql.DefaultConnBufferSize,
	})
	if err != nil {
		return err
	}
	ml.Accept()
	return nil
}

// A plain listener's connections are not seen to be TCP's. Of those the library asks the operating
// system during each statement whether the client has gone, which on Linux, by reading all of /proc,
// takes 20 times as long as a statement.
type plain struct{ net.Listener }

func (l plain) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// A handler is the library's, which knows nothing of what becomes of a transaction when a
// statement fails or a client goes.
type handler struct {
	*server.Handler // for what analyzes no statements
	engine          *sqle.Engine
	manager         *server.SessionManager

	mu      sync.Mutex
	clients map[uint32]*client // by connection
}

// A client is connected. Its handler's analyzer is a copy of its own: an analyzer
// keeps a stack of what it is doing in itself, for messages, with no lock.
type client struct {
	*server.Handler
	session *session // nil before the first statement
}

func (h *handler) NewConnection(c *mysql.Conn) {
	e, a := *h.engine, *h.engine.Analyzer
	e.Analyzer = &a
	h.mu.Lock()
	h.clients[c.ConnectionID] = &client{Handler: server.NewHandler(&e, h.manager, 0)}
	h.mu.Unlock()
	h.Handler.NewConnection(c)
}

func (h *handler) client(c *mysql.Conn) *client {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clients[c.ConnectionID]
}

// A session is the library's, of a client.
type session struct{ sql.Session }

func (s *session) CommitTransaction(ctx *sql.Context, db string, tx sql.Transaction) error {
	return commit(tx)
}

func (h *handler) session(_ context.Context, c *mysql.Conn, addr string) (sql.Session, error) {
	s := &session{sql.NewSession(addr, sql.Client{Address: c.RemoteAddr().String(), User: c.User, Capabilities: c.Capabilities}, c.ConnectionID)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if client := h.clients[c.ConnectionID]; client != nil {
		client.session = s
	}
	return s, nil
}

func (h *handler) ConnectionClosed(c *mysql.Conn) {
	h.Handler.ConnectionClosed(c)
	h.mu.Lock()
	delete(h.clients, c.ConnectionID) // its transaction, too, is nobody's now
	h.mu.Unlock()
}

// unsupportedPS is MySQL's ER_UNSUPPORTED_PS.
const unsupportedPS = 1295

// ComPrepare refuses: the library gives the buffer that a statement's values are in to
// other connections before the statement is run.
func (h *handler) ComPrepare(*mysql.Conn, string) ([]*querypb.Field, error) {
	return nil, mysql.NewSQLError(unsupportedPS, mysql.SSUnknownSQLState, "statements cannot be prepared here: put the values into the text")
}

func (h *handler) ComQuery(c *mysql.Conn, text string, callback func(*sqltypes.Result) error) error {
	return h.after(c, h.client(c).ComQuery(c, text, callback))
}

// after undoes what a statement has done that failed.
func (h *handler) after(c *mysql.Conn, err error) error {
	if err == nil {
		return nil
	}
	h.mu.Lock()
	s := h.clients[c.ConnectionID].session
	h.mu.Unlock()
	if s == nil {
		return err
	}
	tx, ok := s.GetTransaction().(*transaction)
	if !ok {
		return err
	}
	auto := false
	if v, err := s.GetSessionVariable(nil, sql.AutoCommitSessionVar); err == nil {
		auto, _ = sql.ConvertToBool(v)
	}
	if tx.Ended() || auto && !s.GetIgnoreAutoCommit() {
		s.SetTransaction(nil)
		s.SetIgnoreAutoCommit(false)
		return err
	}
	if tx.statement {
		tx.Back(tx.mark)
		tx.statement = false
	}
	return err
}

// A transaction is a session's.
type transaction struct {
	*store.Tx
	readOnly  bool
	statement bool // a statement that writes is not complete
	mark      int  // where it began
}

func (t *transaction) String() string   { return "transaction" }
func (t *transaction) IsReadOnly() bool { return t.readOnly }

// commit commits a transaction, and says what happened in MySQL's terms.
func commit(tx sql.Transaction) error {
	t, ok := tx.(*transaction)
	if !ok || t.Ended() {
		return nil
	}
	return mysqlError(t.Commit())
}

func mysqlError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrConflict):
		return mysql.NewSQLError(mysql.ERLockDeadlock, mysql.SSLockDeadlock, "%s; try restarting transaction", err)
	case errors.Is(err, store.ErrNoTable):
		return mysql.NewSQLError(mysql.ERNoSuchTable, mysql.SSUnknownSQLState, "%s", err)
	}
	return mysql.NewSQLError(mysql.ERUnknownError, mysql.SSUnknownSQLState, "%s", err)
}
