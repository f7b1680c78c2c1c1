package bridge

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/wire"
)

// A desk asks for things of one account, as a peer does.
type desk struct {
	mu      sync.Mutex
	account *account
	debts   map[string]*debt // of those that have been delivered
}

func newDesk(limit int) *desk {
	d := &desk{debts: make(map[string]*debt)}
	d.account = newAccount(limit, &d.mu)
	return d
}

// ask asks, with a right to reply that is once or not, and returns where the answer comes to.
func (d *desk) ask(name string, cost int, once bool) *port {
	p := &port{once: once, proxy: true}
	go func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		r := &request{d.account, p, cost}
		debt := r.try()
		if debt == nil {
			debt = r.wait()
		}
		d.debts[name] = debt
	}()
	synctest.Wait()
	return p
}

func (d *desk) do(f func()) {
	d.mu.Lock()
	f()
	d.mu.Unlock()
	synctest.Wait()
}

func (d *desk) delivered(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.debts[name] != nil
}

func (d *desk) want(t *testing.T, names string, owed int) {
	t.Helper()
	got := ""
	for _, n := range "abcdefgh" {
		if d.delivered(string(n)) {
			got += string(n)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if got != names || d.account.bytes != owed {
		t.Fatalf("delivered %q, %d bytes owed; want %q, %d", got, d.account.bytes, names, owed)
	}
}

func owedTest(t *testing.T, name string, f func(t *testing.T, d *desk)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, newDesk(100)) }) })
}

// TestOwed: rules W1 to W4 of docs/netmsg.md.
func TestOwed(t *testing.T) {
	owedTest(t, "W1: no more is asked of servers than may be owed", func(t *testing.T, d *desk) {
		d.ask("a", 60, true)
		d.ask("b", 60, true)
		d.ask("c", 10, true) // may not overtake
		d.want(t, "a", 60)
		d.do(d.debts["a"].settle)
		d.want(t, "abc", 70)
		d.do(d.debts["b"].settle)
		d.do(d.debts["c"].settle)
		d.want(t, "abc", 0)
	})
	owedTest(t, "W1: one answer may be larger", func(t *testing.T, d *desk) {
		d.ask("a", 500, true)
		d.ask("b", 1, true)
		d.want(t, "a", 500)
		d.do(d.debts["a"].settle)
		d.want(t, "ab", 1)
	})
	owedTest(t, "W2: what has come is what counts, until it is in the session", func(t *testing.T, d *desk) {
		d.ask("a", 10, true)
		d.do(func() { d.debts["a"].becomes(200) })
		d.ask("b", 1, true)
		d.want(t, "a", 200)
		time.Sleep(time.Minute) // the peer does not read
		synctest.Wait()
		d.want(t, "a", 200)
		d.do(func() { d.debts["a"].becomes(20) })
		d.want(t, "ab", 21)
	})
	owedTest(t, "W3: who waits for something to happen keeps nobody out", func(t *testing.T, d *desk) {
		d.ask("a", 90, true)
		d.ask("b", 90, true)
		d.ask("c", 90, true)
		d.want(t, "a", 90)
		time.Sleep(patience + patience/2)
		synctest.Wait()
		d.want(t, "ab", 90)
		time.Sleep(patience + patience/2)
		synctest.Wait()
		d.want(t, "abc", 90)
		// The answers come after all.
		d.do(func() { d.debts["a"].becomes(50); d.debts["b"].becomes(50) })
		time.Sleep(2 * patience)
		d.ask("d", 1, true)
		d.want(t, "abc", 100)
		d.do(d.debts["c"].settle)
		d.want(t, "abc", 100)
		d.do(d.debts["b"].settle)
		d.want(t, "abcd", 51)
	})
	owedTest(t, "W3: but by rights that take many answers", func(t *testing.T, d *desk) {
		p := d.ask("a", 90, false)
		d.ask("b", 90, true)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.want(t, "a", 90)
		if len(p.debts) != 1 {
			t.Fatalf("the port has %d debts", len(p.debts))
		}
		d.do(p.debts[0].settle)
		d.want(t, "ab", 90)
	})
	owedTest(t, "W4: with the session everything ends", func(t *testing.T, d *desk) {
		d.ask("a", 90, true)
		d.ask("b", 90, true)
		d.ask("c", 90, true)
		d.do(d.account.close)
		d.want(t, "abc", 0)
		d.do(d.debts["a"].settle)
		d.want(t, "abc", 0)
	})
	owedTest(t, "W4: nothing is owed to a right that is gone", func(t *testing.T, d *desk) {
		d.ask("a", 90, true)
		p := d.ask("b", 90, true)
		d.do(func() { p.gone = true; d.debts["a"].settle() })
		d.want(t, "ab", 0)
	})
}

// TestCostOf: what the requests want that say so.
func TestCostOf(t *testing.T) {
	body := func(id int32, put func(m *machwire.Message)) *wire.Body {
		m := machwire.New(machwire.Native, id)
		put(m)
		b, _, err := wire.Encode(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		what string
		body *wire.Body
		want int
	}{
		{"io_read", body(21001, func(m *machwire.Message) { m.PutInt64(5 << 20); m.PutWord(512 << 10) }), anyCost + 512<<10},
		{"io_read of everything", body(21001, func(m *machwire.Message) { m.PutInt64(-1); m.PutWord(0xffffffff) }), anyCost + maxCost},
		{"io_read without an amount", body(21001, func(m *machwire.Message) { m.PutInt64(0) }), anyCost},
		{"dir_readdir", body(20019, func(m *machwire.Message) { m.PutInt32(0); m.PutInt32(-1); m.PutWord(8192) }), anyCost + 8192},
		{"io_stat", body(21011, func(m *machwire.Message) {}), anyCost},
	} {
		if got := costOf(c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}
