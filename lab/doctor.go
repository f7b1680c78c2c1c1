package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"hurdlab/lab/problem"
	"hurdlab/lab/qemu"
	"hurdlab/lab/state"
)

// A Check is something that was looked at on this host.
type Check struct {
	Name string
	// Found says what was found.
	Found string
	// Failed says that labs do not work because of it.
	Failed bool
	// Do says what to do about it, if anything.
	Do string
}

// Doctor looks at this host and at the labs on it. It changes nothing.
func Doctor(ctx context.Context, dirs state.Dirs) []Check {
	checks := []Check{{Name: "host", Found: fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}}
	add := func(name, found string, err error) {
		c := Check{Name: name, Found: found}
		if err != nil {
			c.Found, c.Failed, c.Do = err.Error(), true, problem.Advice(err)
		}
		checks = append(checks, c)
	}
	v, err := qemu.Check(ctx, "qemu-system-i386")
	add("QEMU", v.String(), err)

	kvm := Check{Name: "KVM", Found: "/dev/kvm can be opened; the first lab finds out whether it works"}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		kvm.Found = fmt.Sprintf("not available (%v); machines are emulated, some 20 times slower", err)
	} else {
		f.Close()
	}
	checks = append(checks, kvm)

	free, err := availableMB("/proc/meminfo")
	add("memory", fmt.Sprintf("%d MB available, enough for %d nodes of %d MB", free, free/(usualNodeMB+qemuOverhead), usualNodeMB), err)
	add("state", dirs.State, checkDisk(dirs.State, diskFloor+diskPerNode))
	add("cache", dirs.Cache, checkDisk(dirs.Cache, diskCache))

	gocmd := Check{Name: "go"}
	if out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output(); err == nil {
		gocmd.Found = strings.TrimSpace(string(out))
	} else {
		gocmd.Found, gocmd.Failed = fmt.Sprintf("the go command does not run: %v", err), true
		gocmd.Do = "install Go 1.21 or later and put it into PATH: nodes are built with it"
	}
	checks = append(checks, gocmd)
	return append(checks, doctorLabs(dirs)...)
}

// doctorLabs looks at the labs there are.
func doctorLabs(dirs state.Dirs) []Check {
	names, err := dirs.Labs()
	if err != nil {
		return []Check{{Name: "labs", Found: err.Error(), Failed: true, Do: "make sure that " + dirs.State + " is yours"}}
	}
	var checks []Check
	for _, name := range names {
		c := Check{Name: "lab " + name, Found: "running"}
		if _, err := Open(dirs, name); err != nil {
			c.Found, c.Do = err.Error(), problem.Advice(err)
		}
		checks = append(checks, c)
	}
	return checks
}
