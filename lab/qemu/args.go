package qemu

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"hurdlab/images"
)

// The file descriptors that QEMU inherits. Everything between a lab and its
// machines goes over socket pairs: no name in the file system or elsewhere
// that could be left behind, taken, or reached by others.
const (
	fdMonitor = 3 + iota
	fdConsole
	fdNIC
)

// Accel is how QEMU runs the guest's instructions.
type Accel string

const (
	// TCG translates them: works everywhere, and some 20 times slower.
	TCG Accel = "tcg"
	// KVM lets the processor run them.
	KVM Accel = "kvm"
)

// args returns QEMU's arguments for cfg.
func args(cfg *Config) []string {
	m := cfg.Machine
	a := []string{
		"-name", escape(cfg.Name),
		"-accel", string(cfg.Accel),
		"-m", strconv.Itoa(m.MemoryMB),
		"-smp", strconv.Itoa(max(m.CPUs, 1)),
		// Devices that nobody asked for cost the guest seconds of probing.
		"-nodefaults", "-no-user-config", "-display", "none",
		// A guest that reboots has crashed: it must end, not come back
		// as if nothing had happened.
		"-no-reboot",
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", fdMonitor),
		"-mon", "chardev=monitor,mode=control",
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", fdConsole),
		"-serial", "chardev:console",
	}
	if cfg.unplugged {
		// What a trial writes to disks is forgotten.
		a = append(a, "-snapshot")
	}
	if m.NIC != "" {
		netdev := fmt.Sprintf("stream,id=lab,server=off,addr.type=fd,addr.str=%d", fdNIC)
		if cfg.unplugged {
			netdev = "hubport,id=lab,hubid=0"
		}
		// Without an option ROM the firmware has nothing to boot from the
		// network with, which it would try, for seconds.
		a = append(a, "-netdev", netdev,
			"-device", fmt.Sprintf("%s,netdev=lab,mac=%s,romfile=", m.NIC, net.HardwareAddr(cfg.MAC[:])))
	}
	if cfg.DebugLog != "" {
		// What the processor did just before a triple fault.
		a = append(a, "-d", "cpu_reset", "-D", cfg.DebugLog)
	}
	if m.Kernel != "" {
		a = append(a, "-kernel", m.Kernel)
		if m.Append != "" {
			a = append(a, "-append", m.Append)
		}
		if len(m.Modules) > 0 {
			a = append(a, "-initrd", modules(m.Modules))
		}
	}
	for _, name := range sortedKeys(m.FWCfg) {
		a = append(a, "-fw_cfg", fmt.Sprintf("name=%s,file=%s", escape(name), escape(m.FWCfg[name])))
	}
	return append(a, m.Args...)
}

// modules is the argument of -initrd: files with their command lines,
// separated by commas.
func modules(mods []images.Module) string {
	var s []string
	for _, m := range mods {
		s = append(s, escape(strings.TrimRight(m.Path+" "+m.Line, " ")))
	}
	return strings.Join(s, ",")
}

// escape protects a value in QEMU's lists of options.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
