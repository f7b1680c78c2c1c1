package lab

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/lab/problem"
)

const (
	// diskFloor and diskPerNode are the free space that the state directory
	// needs, in bytes: consoles, logs and keys. diskCache is for the cache,
	// when all is in it.
	diskFloor   = 32 << 20
	diskPerNode = 8 << 20
	diskCache   = 64 << 20
	// qemuOverhead is what QEMU needs besides the guest's memory, in MiB: 60
	// were measured with TCG, whose translations take half of it.
	qemuOverhead = 60
	// usualNodeMB is the memory of a node of the image mach, in MiB, for an
	// estimate of how many fit.
	usualNodeMB = 128
)

// checkDisk makes sure that there is space for files in dir.
func checkDisk(dir string, need uint64) error {
	// dir itself may not exist yet.
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return fmt.Errorf("free space for %s: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return problem.New(
			fmt.Sprintf("no space for %s: %d MB are free, %d MB are needed", dir, free>>20, need>>20),
			"free some space, or use another place: set XDG_STATE_HOME and XDG_CACHE_HOME")
	}
	return nil
}

// checkMemory makes sure that the host has the memory for the machines.
func checkMemory(machines []*images.Machine) error {
	free, err := availableMB("/proc/meminfo")
	if err != nil {
		return err
	}
	return fits(machines, free)
}

// fits is checkMemory for a host with this many MiB available.
func fits(machines []*images.Machine, free int) error {
	need := 0
	for _, m := range machines {
		need += m.MemoryMB + qemuOverhead
	}
	if need > free {
		return problem.New(
			fmt.Sprintf("%d nodes need %d MB of this host's memory; %d MB are available", len(machines), need, free),
			"ask for fewer nodes or less --memory, or end something else (other labs: hurdlab status --all)")
	}
	return nil
}

// availableMB reads what Linux thinks can be used without swapping, in MiB.
func availableMB(meminfo string) (int, error) {
	f, err := os.Open(meminfo)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "MemAvailable:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", meminfo, err)
			}
			return kb >> 10, nil
		}
	}
	return 0, fmt.Errorf("%s does not say what is available", meminfo)
}
