package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/lab/problem"
)

// steps is a progress that remembers.
type steps []string

func (s *steps) Step(name string) func(error) {
	*s = append(*s, name)
	return func(err error) {
		if err != nil {
			*s = append(*s, "failed")
		}
	}
}

func (s *steps) Logf(string, ...any) {}

// fakePath makes a directory with programs the only one in PATH.
func fakePath(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

const fakeQEMU = "#!/bin/sh\necho 'QEMU emulator version %s (Debian)'\n"

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{"7.2.22": true, "10.0.2": true, "7.1.0": false, "6.2.0": false} {
		fakePath(t, map[string]string{"qemu": strings.ReplaceAll(fakeQEMU, "%s", version)})
		v, err := Check(t.Context(), "qemu")
		if (err == nil) != ok || !strings.HasPrefix(version, v.String()) {
			t.Errorf("version %s: got %v, %v", version, v, err)
		}
		if err != nil && !strings.Contains(problem.Advice(err), "upgrade QEMU") {
			t.Errorf("version %s: advice %q", version, problem.Advice(err))
		}
	}
	fakePath(t, map[string]string{"qemu": "#!/bin/sh\nexit 1\n"})
	if _, err := Check(t.Context(), "qemu"); err == nil || problem.Advice(err) == "" {
		t.Errorf("a QEMU that does not run: %v, advice %q", err, problem.Advice(err))
	}
}

// TestInstall has an apt-get that knows packages only after an update, as on
// a fresh machine.
func TestInstall(t *testing.T) {
	if _, err := os.Stat("/etc/debian_version"); os.Geteuid() != 0 || err != nil {
		t.Skip("only done as root on Debian")
	}
	dir := fakePath(t, map[string]string{"apt-get": `#!/bin/sh
cd "${0%/*}"
echo "$*" >>log
if [ "$1" = update ]; then : >updated; exit 0; fi
if [ ! -e updated ]; then echo "E: Unable to locate package $4" >&2; exit 100; fi
printf '#!/bin/sh\necho QEMU emulator version 9.1.2\n' >qemu
/bin/chmod 755 qemu
`})
	var p steps
	if err := Ensure(t.Context(), "qemu", &p); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	install := "install -y --no-install-recommends qemu-system-x86 qemu-utils\n"
	if want := install + "update\n" + install; string(b) != want {
		t.Errorf("apt-get was called with\n%s\nwant\n%s", b, want)
	}
	if len(p) != 1 || !strings.Contains(p[0], "install QEMU: apt-get install") {
		t.Errorf("steps %q", p)
	}
	if err := Ensure(t.Context(), "qemu", &p); err != nil || len(p) != 1 {
		t.Errorf("the second time: %v, steps %q", err, p)
	}
}

func TestInstallFails(t *testing.T) {
	if _, err := os.Stat("/etc/debian_version"); os.Geteuid() != 0 || err != nil {
		t.Skip("only done as root on Debian")
	}
	fakePath(t, map[string]string{"apt-get": "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n"})
	var p steps
	err := Ensure(t.Context(), "qemu", &p)
	if err == nil || !strings.Contains(err.Error(), "E: no network") || !strings.Contains(problem.Advice(err), "apt-get install") {
		t.Errorf("got %v, advice %q", err, problem.Advice(err))
	}
}

func TestInstallIsNotPossible(t *testing.T) {
	fakePath(t, nil) // no apt-get
	var p steps
	err := Ensure(t.Context(), "qemu", &p)
	if err == nil || len(p) != 0 || !strings.Contains(problem.Advice(err), "sudo apt-get install") {
		t.Errorf("got %v, advice %q, steps %q", err, problem.Advice(err), p)
	}
}
