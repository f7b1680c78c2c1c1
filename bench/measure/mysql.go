package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"hurdlab/bench"
	"hurdlab/images"
	"hurdlab/lab/programs"
)

var mysqlPart = Part{
	Name: "mysql", Title: "a server that speaks MySQL: clients on its node, another and the host; its data here and there", MemoryMB: 256, Least: 2,
	Programs: []string{"hurdlab/suites/programs/mysqld", "hurdlab/suites/programs/mysqlload"},
	measure:  (*measuring).mysql,
}

// The ports of the servers on node1: of the one with its data there, and the one with its data
// on node2.
const (
	mysqlPort  = 3306
	mysqlThere = 3307
)

// mysqlMixes are those of program mysqlload.
var mysqlMixes = []string{"point", "write", "mixed"}

// A mysqlPlace is where clients are, and the data.
type mysqlPlace struct {
	name string // as in the names of series
	text string
	node int // of the clients; 0: the host
	port int // of the server
}

// mysqlPlaces are those that are compared, the one that others are compared with first.
var mysqlPlaces = []mysqlPlace{
	{"on=node1/data=node1", "clients on the server's node", 1, mysqlPort},
	{"on=node2/data=node1", "clients on another node", 2, mysqlPort},
	{"on=host/data=node1", "clients on the host", 0, mysqlPort},
	{"on=node1/data=node2", "the data on another node", 1, mysqlThere},
}

// A mysqlSummary is what mysqlload says of a load, as far as it is wanted.
type mysqlSummary struct {
	Done  int     `json:"done"`
	Again int     `json:"again"`
	Rate  float64 `json:"rate"`
	Total struct {
		P50 float64 `json:"p50"`
		P95 float64 `json:"p95"`
		P99 float64 `json:"p99"`
	} `json:"total"`
	Kinds map[string]struct {
		P50 float64 `json:"p50"`
	} `json:"kinds"`
	Series []struct {
		From float64 `json:"from_s"`
		Rate float64 `json:"rate"`
		P95  float64 `json:"p95"`
	} `json:"series"`
}

// ownServer is the command of suites/programs/mysqld, which says something when it serves.
func ownServer(port int, data string) []string {
	return []string{"mysqld", "-listen", fmt.Sprintf(":%d", port), data}
}

// mariaDB is the command of a distribution's MariaDB, with a data directory that it makes, the database
// that mysqlload wants, and root as whoever comes; it says something when it serves, and the shell has become the server. Its
// log is next to its socket.
func mariaDB(port int, data string) []string {
	return []string{"sh", "-ec", fmt.Sprintf(`S=/tmp/mariadb-%[1]d
mkdir -p %[2]s
mariadb-install-db --no-defaults --user=root --datadir=%[2]s --auth-root-authentication-method=normal --skip-test-db > $S.log 2>&1 || { cat $S.log >&2; exit 1; }
cat > $S.sql <<'EOF'
CREATE DATABASE IF NOT EXISTS hurdlab;
CREATE USER IF NOT EXISTS root@'%%' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'%%' WITH GRANT OPTION;
EOF
while kill -0 $$ && ! mariadb-admin --no-defaults --user=root --socket=$S.sock ping > /dev/null 2>&1; do
	sleep 1
done && echo serving on %[1]d &
exec mariadbd --no-defaults --user=root --datadir=%[2]s --bind-address=0.0.0.0 --port=%[1]d --socket=$S.sock --pid-file=$S.pid --init-file=$S.sql >> $S.log 2>&1`, port, data)}
}

func (m *measuring) mysql(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hurdlab-mysql-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := programs.BuildHost(ctx, dir, "hurdlab/suites/programs/mysqlload")
	if err != nil {
		return err
	}
	server, engine := ownServer, "The server is suites/programs/mysqld."
	if m.can(images.CanApt, "MariaDB, of a distribution") {
		m.Say("installing MariaDB on node1")
		version, err := m.run(ctx, 1, "sh", "-ec", fmt.Sprintf(aptScript, "mariadb-server")+"mariadbd --version")
		if err != nil {
			return err
		}
		server, engine = mariaDB, "The server is MariaDB: "+strings.TrimSpace(version[strings.LastIndex(strings.TrimSpace(version), "\n")+1:])+"."
	}
	host := make(map[int]string) // addresses for the host, by port
	for port, data := range map[int]string{mysqlPort: "/tmp/mysql", mysqlThere: "/n/node2/tmp/mysql"} {
		stop, err := m.serve(ctx, 1, server(port, data)...)
		if err != nil {
			return err
		}
		defer stop()
		if host[port], err = m.lab.Net().Forward(ctx, "127.0.0.1:0", "node1", uint16(port)); err != nil {
			return err
		}
		defer m.lab.Net().Unforward(context.WithoutCancel(ctx), host[port])
	}
	// run runs the clients' program in a place, and returns what it says.
	run := func(p mysqlPlace, args ...string) ([]byte, error) {
		args = append([]string{"-rows", "1000", "-timeout", "2m", "-seed", fmt.Sprint(m.lab.Spec().Seed)}, args...)
		if p.node != 0 {
			out, err := m.on(ctx, p.node, append([]string{"mysqlload", "-addr", fmt.Sprintf("node1:%d", p.port)}, args...)...)
			return []byte(out), err
		}
		m.Say("the host: mysqlload " + strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, program, append([]string{"-addr", host[p.port]}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("mysqlload on the host: %w", err)
		}
		return out, err
	}
	for _, port := range []int{mysqlPort, mysqlThere} {
		if _, err := run(mysqlPlace{node: 1, port: port}, "prepare"); err != nil {
			return err
		}
	}

	all := newCollection(m.part)
	last := make(map[string]*mysqlSummary)
	mixes := mysqlMixes
	if m.Quick {
		mixes = []string{"point", "mixed"}
	}
	const clients = 4
	for range m.turns(1, 3) {
		for _, mix := range mixes {
			for _, p := range mysqlPlaces {
				out, err := run(p, "-clients", fmt.Sprint(clients), "-time", fmt.Sprintf("%ds", m.pick(2, 10)), "load", mix)
				if err != nil {
					return err
				}
				s := new(mysqlSummary)
				if err := json.Unmarshal(out, s); err != nil {
					return fmt.Errorf("mysqlload: %q: %w", out, err)
				}
				name := mix + "/" + p.name
				last[name] = s
				all.series(name, "1/s", s.Rate)
				all.series(name+"/done", "1", float64(s.Done))
				all.series(name+"/p50", "ns", s.Total.P50)
				all.series(name+"/p95", "ns", s.Total.P95)
				all.series(name+"/p99", "ns", s.Total.P99)
				if mix == "mixed" {
					all.series(name+"/commit", "ns", s.Kinds["commit"].P50)
					all.series(name+"/again", "1", float64(s.Again))
				}
			}
		}
	}
	first := mysqlPlaces[0]
	for _, mix := range mixes {
		for _, p := range mysqlPlaces[1:] {
			var goal *bench.Goal
			if p.node == 2 {
				goal = bench.AtLeast(0.7)
			}
			m.part.Divide(fmt.Sprintf("%s: %s, times the rate of %s", mix, p.text, first.text), m.part.Find(mix+"/"+p.name), m.part.Find(mix+"/"+first.name), true, goal)
		}
	}
	for _, mix := range mixes {
		rate := &bench.Plot{Title: mix + ": rate over time, of the last turn", X: "seconds", Y: "a second"}
		late := &bench.Plot{Title: mix + ": latency over time, 95th percentile", X: "seconds", Y: "ms", LogY: true}
		for _, p := range mysqlPlaces {
			a, b := bench.Line{Name: p.text}, bench.Line{Name: p.text}
			for _, i := range last[mix+"/"+p.name].Series {
				a.X, a.Y = append(a.X, i.From), append(a.Y, i.Rate)
				if i.P95 > 0 { // something has ended
					b.X, b.Y = append(b.X, i.From), append(b.Y, i.P95*1e-6)
				}
			}
			rate.Lines, late.Lines = append(rate.Lines, a), append(late.Lines, b)
		}
		m.part.Plots = append(m.part.Plots, rate, late)
	}
	m.part.Notes = append(m.part.Notes, fmt.Sprintf("%s It is on node1. %d clients at a time, 1000 rows. "+
		"A transaction of the mix \"mixed\" is 20 statements. All figures of the clients; what was in the way of another and done again is in them.", engine, clients))
	if m.part.Lab.Image == "mach" {
		m.part.Notes = append(m.part.Notes, "The nodes' own file systems are in memory.")
	}
	return nil
}
