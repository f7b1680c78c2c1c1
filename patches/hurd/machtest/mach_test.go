// Package machtest runs the threads of the multi-client libpager in patches/hurd, which are
// between its core and Mach, on the host: testdata/main.c plays Mach, libports, some kernels, and a file
// system. What kernels read must be what was written last, what is synced must be stored, no
// right and no reference may be lost, and nothing may wait for ever.
package machtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const src = "../new/libpager/"

// headers are those of the Hurd that libpager reads; fake.h has what is in them.
var headers = []string{
	"mach.h", "hurd.h", "pager.h", "hurd/ports.h", "libports/notify_S.h", "mach/mach4.h", "mach/mig_errors.h",
	"mach/notify.h", "mach/vm_prot.h", "memory_control_U.h", "memory_object_S.h", "pager_info_S.h",
}

// build compiles libpager with main.c, with a sanitizer if this compiler has it.
func build(t *testing.T, sanitizer string) string {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no C compiler") // coretest installs one where it may
	}
	dir := t.TempDir()
	for _, h := range headers {
		h = filepath.Join(dir, h)
		if err := os.MkdirAll(filepath.Dir(h), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h, []byte("#include \"fake.h\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// go test takes no result of other sources from its cache if it has seen them read.
	files, err := filepath.Glob(src + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "testdata/main.c", "testdata/fake.h") {
		if _, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "main")
	args := []string{"-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", "testdata", "-I", dir, "-I", src, "-o", bin, "testdata/main.c"}
	for _, f := range []string{"pager", "requests", "messages", "bulk", "coherence", "holdings", "containers"} {
		args = append(args, src+f+".c")
	}
	args = append(args, "-pthread")
	with := append([]string{"-fsanitize=" + sanitizer, "-fno-sanitize-recover"}, args...)
	if exec.Command(cc, with...).Run() == nil && exec.Command(bin, "1", "1").Run() == nil {
		return bin
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func TestKernels(t *testing.T) {
	rounds, ms := 4, 1000
	if testing.Short() {
		rounds = 1
	}
	for _, sanitizer := range []string{"address,undefined", "thread"} {
		t.Run(strings.Replace(sanitizer, ",", "-", 1), func(t *testing.T) {
			bin := build(t, sanitizer)
			for seed := 1; seed <= rounds; seed++ {
				out, err := exec.Command(bin, fmt.Sprint(seed), fmt.Sprint(ms)).CombinedOutput()
				if err != nil {
					t.Fatalf("main %d %d: %v\n%s", seed, ms, err, out)
				}
				t.Logf("%s", out)
			}
		})
	}
}
