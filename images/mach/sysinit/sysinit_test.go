package sysinit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"hurdlab/images/mach/nodeconfig"
)

func config() *nodeconfig.Config {
	return &nodeconfig.Config{
		Name: "node1", MAC: "52:54:00:00:00:01", Addr: netip.MustParsePrefix("10.77.0.11/20"), Gateway: netip.MustParseAddr("10.77.0.1"),
		DNS: netip.MustParseAddr("10.77.0.2"), Hosts: map[string]netip.Addr{"b": netip.MustParseAddr("10.0.0.2"), "a": netip.MustParseAddr("10.0.0.1")},
		HostKey: "secret", AuthorizedKeys: "keys", User: "root",
	}
}

func TestFiles(t *testing.T) {
	got := make(map[string]File)
	for _, f := range Files(config()) {
		got[f.Path] = f
	}
	for p, want := range map[string]string{
		"/etc/hostname":                   "node1\n",
		"/etc/hosts":                      "127.0.0.1 localhost\n10.0.0.1 a\n10.0.0.2 b\n",
		"/etc/resolv.conf":                "nameserver 10.77.0.2\n",
		"/root/.ssh/authorized_keys":      "keys",
		"/home/user/.ssh/authorized_keys": "keys",
	} {
		if got[p].Data != want {
			t.Errorf("%s: %q, want %q", p, got[p].Data, want)
		}
	}
	if f := got[HostKeyFile]; f.Mode != 0o600 || f.Data != "secret" {
		t.Errorf("host key: %+v", f)
	}
	if f := got["/home/user/.ssh/authorized_keys"]; f.UID != 1000 {
		t.Errorf("the user's keys belong to %d", f.UID)
	}
	if !strings.Contains(got["/etc/passwd"].Data, "user:x:1000:1000:user:/home/user:/bin/sh\n") {
		t.Errorf("passwd: %q", got["/etc/passwd"].Data)
	}
}

func TestPfinet(t *testing.T) {
	want := []string{"/hurd/pfinet", "--interface=52:54:00:00:00:01", "--address=10.77.0.11", "--netmask=255.255.240.0", "--gateway=10.77.0.1"}
	if got := Pfinet(config()); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var errOver = errors.New("over")

// script is a System in which processes end as written.
type script struct {
	now    time.Time
	pid    int32
	ends   []int32 // the pids that end, one after the other; 0 for the newest
	gap    time.Duration
	starts []string
	log    []string
	fail   error
}

func (s *script) Start(_ context.Context, argv, _ []string) (int32, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	s.pid++
	s.starts = append(s.starts, argv[0])
	return s.pid, nil
}

func (s *script) Wait(context.Context) (int32, int32, error) {
	if len(s.ends) == 0 {
		return 0, 0, errOver
	}
	s.now = s.now.Add(s.gap)
	pid := s.ends[0]
	if s.ends = s.ends[1:]; pid == 0 {
		pid = s.pid
	}
	return pid, 1 << 8, nil
}

func (s *script) Now() time.Time { return s.now }
func (s *script) Logf(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func TestSupervise(t *testing.T) {
	for _, tc := range []struct {
		name   string
		s      script
		starts int
		log    string
	}{
		{"nothing ends", script{}, 1, ""},
		{"an orphan ends", script{ends: []int32{99}}, 1, ""},
		{"it ends", script{ends: []int32{1}}, 2, "srv has ended (status 1)"},
		{"it ends all the time", script{ends: make([]int32, 8), gap: time.Second}, maxStarts, "not started again"},
		{"it ends now and then", script{ends: make([]int32, 8), gap: startsTime / (maxStarts - 1)}, 9, "srv has ended"},
	} {
		err := Supervise(t.Context(), &tc.s, &Service{Name: "srv", Argv: []string{"srv"}})
		if !errors.Is(err, errOver) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if len(tc.s.starts) != tc.starts {
			t.Errorf("%s: %d starts, want %d", tc.name, len(tc.s.starts), tc.starts)
		}
		if log := strings.Join(tc.s.log, "\n"); !strings.Contains(log, tc.log) || tc.log == "" && log != "" {
			t.Errorf("%s: log %q, want %q", tc.name, log, tc.log)
		}
	}
	if err := Supervise(t.Context(), &script{fail: errOver}, &Service{Name: "srv"}); !errors.Is(err, errOver) {
		t.Errorf("a program that is not there: %v", err)
	}
}
