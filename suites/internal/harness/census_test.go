package harness

import "testing"

const psText = `  PID  PPID  PGRP USER     STATE    TIME     RSS COMMAND
    1     0     1 root     S     0:00    1000 /hurd/init
   12     1    12 root     S     0:01    5000 /hurd/netmsg serve
   40    12    40 user     S     0:01    5000 sh -c x
`

func TestPid(t *testing.T) {
	for command, want := range map[string]int{"netmsg serve": 12, "init": 1, "sh -c": 40, "root": 0, "nothing": 0} {
		if got := pid(psText, command); got != want {
			t.Errorf("%s: %d, not %d", command, got, want)
		}
	}
}

func TestCensus(t *testing.T) {
	before := census("   30 ports   5 threads    4000k resident   9000k virtual 12 /hurd/netmsg serve\n" +
		"   10 ports   1 threads     100k resident    200k virtual 3 rootfs\n2 tasks, 40 ports, 6 threads, 4100k resident\n")
	if who, b := before.Task("netmsg"); who != "12 /hurd/netmsg serve" || b != (Belongings{30, 5, 4000}) {
		t.Errorf("%q %v", who, b)
	}
	now := census("   39 ports   5 threads    4000k resident   9000k virtual 12 /hurd/netmsg serve\n" +
		"   11 ports   1 threads     100k resident    200k virtual 3 rootfs\n3 tasks, 50 ports, 6 threads, 4100k resident\n")
	if more := before.More(now, 8); more != "3 tasks, 2 before; 12 /hurd/netmsg serve has 39 ports, 30 before" {
		t.Errorf("%q", more)
	}
	if more := before.More(before, 0); more != "" {
		t.Errorf("%q", more)
	}
}
