package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// program is the server, for this host.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mysqlload-test-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "mysqld")
	out, err := exec.Command("go", "build", "-C", "../mysqld", "-o", file, ".").CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return file, err
})

func TestMain(m *testing.M) {
	mysql.SetLogger(log.New(silent{}, "", 0))
	status := m.Run()
	if file, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(status)
}

// A server is a process.
type server struct {
	t    *testing.T
	args []string
	addr string
	said string
	cmd  *exec.Cmd
}

func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, args: args, addr: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			// What it was doing then.
			_ = s.cmd.Process.Signal(syscall.SIGQUIT)
			_ = s.cmd.Wait()
		}
		s.kill()
	})
	return s
}

// start starts it, the next times on the same port.
func (s *server) start() {
	s.t.Helper()
	file, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(file, append([]string{"-listen", s.addr}, s.args...)...)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if s.said, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Fatal(err)
	}
	s.addr, _, _ = strings.Cut(strings.TrimPrefix(s.said, "serving on "), ": ")
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) options() *options {
	o := &options{addr: s.addr, database: "hurdlab", timeout: 5 * time.Second, clients: 4, time: 500 * time.Millisecond, every: 100 * time.Millisecond,
		rows: 200, accounts: 10, run: 1, seed: uint64(time.Now().UnixNano())}
	s.t.Logf("seed %d", o.seed)
	return o
}

// directory is one for a server's data, in memory if there is such: a process that is killed
// leaves the same in it, and a disk that is busy makes few transactions of many.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mysqlload-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	s := startServer(t, directory(t))
	o := s.options()
	must(t, o.makeTable(t.Context()))
	for mix := range mixes {
		r, err := o.load(t.Context(), mix)
		if err != nil {
			t.Fatalf("%s: %v", mix, err)
		}
		if r.Done == 0 || r.Total.N != r.Done || r.Total.P50 <= 0 || r.Total.P50 > r.Total.P95 || r.Total.P99 > r.Total.Max || len(r.Series) < 4 {
			t.Errorf("%s: %+v", mix, r)
		}
		if got := r.Statements / r.Rate; mix == "mixed" && (math.Round(got) < 20 || r.Again == 0 && math.Round(got) != 20) {
			t.Errorf("%s: %v statements each", mix, got)
		}
	}
	if _, err := o.load(t.Context(), "none"); err == nil {
		t.Error("a mix that there is not")
	}
	// A row that is missing is seen.
	o.rows++
	o.time = 5 * time.Second
	if _, err := o.load(t.Context(), "point"); !errors.Is(err, errWrong) {
		t.Error(err)
	}
}

func TestLatency(t *testing.T) {
	var list []time.Duration
	for i := range 100 {
		list = append(list, time.Duration(100-i))
	}
	if got := latency(list); got != (Latency{N: 100, P50: 50, P95: 95, P99: 99, Max: 100}) {
		t.Errorf("%+v", got)
	}
	if got := latency([]time.Duration{7}); got != (Latency{N: 1, P50: 7, P95: 7, P99: 7, Max: 7}) {
		t.Errorf("%+v", got)
	}
	if got := latency(nil); got != (Latency{}) {
		t.Errorf("%+v", got)
	}
}

// Transfers are what their clients were told, though the server is killed again and again, and
// a kill may leave a record that is half written.
func TestBankThroughKills(t *testing.T) {
	dir := directory(t)
	s := startServer(t, "-compact", "30000", dir)
	o := s.options()
	must(t, o.openBank(t.Context()))
	rnd := rand.New(rand.NewPCG(o.seed, 99))
	o.time = 5 * time.Second
	type result struct {
		*BankReport
		err error
	}
	ended := make(chan result, 2)
	for run := range int64(2) {
		mine := *o
		mine.run += run
		go func() {
			r, err := mine.transfer(t.Context())
			ended <- result{r, err}
		}()
	}
	for range 5 {
		time.Sleep(time.Duration(200+rnd.IntN(500)) * time.Millisecond)
		s.kill()
		torn := make([]byte, rnd.IntN(40))
		f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.Write(torn)
		must(t, errors.Join(err, f.Close()))
		s.start()
		t.Log(strings.TrimSpace(s.said))
		// Money is what it was, also in between.
		if _, err := o.audit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	transfers := 0
	for range 2 {
		r := <-ended
		if r.err != nil {
			t.Fatal(r.err)
		}
		t.Logf("%+v", *r.BankReport)
		if r.Made == 0 || r.Lost == 0 {
			t.Errorf("%d transfers, %d lost", r.Made, r.Lost)
		}
		transfers += r.Made
	}
	a, err := o.audit(t.Context())
	must(t, err)
	if a.Transfers < transfers {
		t.Errorf("%d transfers, %d were made", a.Transfers, transfers)
	}
}

// A proxy is between clients and a server, and breaks their connections.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	rnd   *rand.Rand
	conns sync.WaitGroup
}

func startProxy(t *testing.T, to string, seed uint64) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{Listener: l, to: to, rnd: rand.New(rand.NewPCG(seed, 7))}
	t.Cleanup(func() { l.Close(); p.conns.Wait() })
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.carry(c) })
		}
	})
	return p
}

// carry carries a connection until the server has sent some number of bytes, or, now and then,
// until the client has sent COMMIT: then the answer does not come back.
func (p *proxy) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	limit, commits := 200+p.rnd.Int64N(3000), p.rnd.IntN(6)
	p.mu.Unlock()
	p.conns.Go(func() {
		defer s.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := c.Read(b)
			if bytes.Contains(b[:n], []byte("COMMIT")) {
				if commits--; commits < 0 {
					c.Close()
					_, _ = s.Write(b[:n])
					_, _ = io.Copy(io.Discard, io.LimitReader(s, 1)) // it has been committed, or not
					return
				}
			}
			if _, werr := s.Write(b[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	_, _ = io.CopyN(c, s, limit)
}

// Transfers are what their clients were told, though connections are cut, also between
// COMMIT and its answer.
func TestBankThroughCuts(t *testing.T) {
	s := startServer(t, directory(t))
	o := s.options()
	must(t, o.openBank(t.Context()))
	// What a client finds at the end it asks without the proxy: that is not what is tested.
	through := *o
	through.addr = startProxy(t, s.addr, o.seed).Addr().String()
	through.time = 4 * time.Second
	through.clients = 8
	var list []*teller
	r, err := through.transferBy(t.Context(), &list)
	must(t, err)
	there, err := o.list(t.Context())
	must(t, err)
	must(t, compare(list, there, o.run))
	t.Logf("%+v", *r)
	if r.Made == 0 || r.Found == 0 {
		t.Errorf("%d transfers, %d found after their COMMIT had no answer", r.Made, r.Found)
	}
	_, err = o.audit(t.Context())
	must(t, err)
}

// What a server should not do is seen.
func TestBankSees(t *testing.T) {
	x := transfer{1*perRun + 1, 0, 1, 5}
	with := func(f fate) []*teller {
		return []*teller{{fates: map[int64]fate{x.id: f}, was: map[int64]transfer{x.id: x}}}
	}
	there, other := map[int64]transfer{x.id: x}, map[int64]transfer{x.id: {x.id, 0, 1, 6}}
	stranger := map[int64]transfer{x.id: x, x.id + 1: {x.id + 1, 0, 1, 5}}
	for _, c := range []struct {
		f     fate
		there map[int64]transfer
		ok    bool
	}{
		{made, there, true}, {made, nil, false}, {made, other, false}, {made, stranger, false},
		{notMade, nil, true}, {notMade, there, false}, {refused, nil, true}, {refused, there, false},
		{unknown, nil, true}, {unknown, there, true}, {unknown, other, false},
	} {
		if err := compare(with(c.f), c.there, 1); (err == nil) != c.ok || err != nil && !errors.Is(err, errWrong) {
			t.Errorf("%v, %v: %v", c.f, c.there, err)
		}
	}

	s := startServer(t, directory(t))
	o := s.options()
	must(t, o.openBank(t.Context()))
	_, err := o.transfer(t.Context())
	must(t, err)
	if _, err := o.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := o.connect()
	must(t, err)
	defer db.Close()
	for _, text := range []string{
		"UPDATE accounts SET balance = balance + 1 WHERE id = 3", // money is made
		"UPDATE accounts SET balance = balance - 1 WHERE id = 4", // and moved, which the list does not say
		"DELETE FROM accounts WHERE id = 9",                      // an account is lost
		"DELETE FROM transfers WHERE id > 0 AND amount > 0",      // the list
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
		if _, err := o.audit(t.Context()); !errors.Is(err, errWrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A server that cannot write ends, and says so; and what it had acknowledged is there for the
// next one.
func TestBankThroughFullDisk(t *testing.T) {
	dir := directory(t)
	s := startServer(t, dir)
	o := s.options()
	must(t, o.openBank(t.Context()))
	s.kill()
	file, err := program()
	must(t, err)
	// 16 KiB or 8, as the shell counts: some hundred transfers.
	cmd := exec.Command("sh", "-c", `ulimit -f 16; exec "$0" -listen "$1" "$2"`, file, s.addr, dir)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err, stderr.String())
	}
	o.time, o.patience = 3*time.Second, time.Minute
	type result struct {
		*BankReport
		err error
	}
	ended := make(chan result, 1)
	go func() {
		r, err := o.transfer(t.Context())
		ended <- result{r, err}
	}()
	err = cmd.Wait()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "the journal cannot be written") {
		t.Fatal(err, stderr.String())
	}
	s.start()
	t.Log(strings.TrimSpace(s.said))
	r := <-ended
	must(t, r.err)
	t.Logf("%+v", *r.BankReport)
	if r.Made == 0 || r.Lost == 0 {
		t.Errorf("%d transfers, %d lost", r.Made, r.Lost)
	}
	_, err = o.audit(t.Context())
	must(t, err)
}

// Of two servers with one directory, one waits until the other has ended.
func TestOneServer(t *testing.T) {
	dir := directory(t)
	s := startServer(t, dir)
	o := s.options()
	must(t, o.openBank(t.Context()))
	file, err := program()
	must(t, err)
	second := exec.Command(file, "-listen", "127.0.0.1:0", dir)
	stderr, err := second.StderrPipe()
	must(t, err)
	stdout, err := second.StdoutPipe()
	must(t, err)
	must(t, second.Start())
	defer second.Wait()
	defer second.Process.Kill()
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.Contains(line, "waiting") {
		t.Fatal(line, err)
	}
	s.kill()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, "2 tables with 10 rows") {
		t.Fatal(line, err)
	}
}

// The server is a module of its own: this is where its tests are run with all others.
func TestServersModule(t *testing.T) {
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = "../mysqld"
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("go %v: %v\n%s", args, err, out)
		}
	}
}
