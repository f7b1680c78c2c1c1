package measure

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"hurdlab/lab/programs"
)

// MariaDB of this host is made ready by the command that nodes get, and the clients do with it what they do with
// the server of our own, the bank's transfers included.
func TestMariaDB(t *testing.T) {
	if _, err := exec.LookPath("mariadbd"); err != nil {
		t.Skip(err)
	}
	client, err := programs.BuildHost(t.Context(), t.TempDir(), "hurdlab/suites/programs/mysqlload")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	data := t.TempDir() + "/data"
	for range 2 { // with a new directory, and with what the first left, killed
		args := mariaDB(port, data)
		server := exec.CommandContext(t.Context(), args[0], args[1:]...)
		out, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "serving on") {
			t.Fatalf("%q, %v", line, err)
		}
		for _, args := range []string{"prepare", "-time 1s load point", "-time 1s load mixed", "open", "-time 1s transfer", "audit"} {
			cmd := exec.CommandContext(t.Context(), client, append([]string{"-addr", fmt.Sprintf("127.0.0.1:%d", port)}, strings.Fields(args)...)...)
			b, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", args, err, b)
			}
			var r struct{ Done, Made int }
			if strings.Contains(args, "time") && (json.Unmarshal(b, &r) != nil || r.Done+r.Made == 0) {
				t.Errorf("%s: %s", args, b)
			}
		}
		server.Process.Kill()
		server.Wait()
	}
}
