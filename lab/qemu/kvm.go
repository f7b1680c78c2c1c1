package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// probeTime is how long a machine may take to boot with KVM for KVM to be
// used. The machines of image mach take a second or two with a KVM that
// works, and about four with TCG.
const probeTime = 4 * time.Second

// A Verdict says how to run machines, and why.
type Verdict struct {
	Accel Accel  `json:"accel"`
	Why   string `json:"why"`
}

// ProbeKVM finds out whether KVM runs the machine m, by booting it. That the
// device is there says little: in nested virtualisation some guests hang for
// ever. The machine is not connected to anything. A verdict holds for one
// kernel until the host is booted again; it is kept in cacheDir.
func ProbeKVM(ctx context.Context, m *images.Machine, cacheDir string) (Verdict, error) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		why := err.Error()
		if errors.Is(err, os.ErrNotExist) {
			why = "this host has no /dev/kvm"
		}
		return Verdict{TCG, why}, nil
	}
	f.Close()
	if len(m.Stages) == 0 {
		return Verdict{TCG, "the image does not say how a boot is recognised"}, nil
	}
	key, err := probeKey(m)
	if err != nil {
		return Verdict{}, err
	}
	file := filepath.Join(cacheDir, "kvm", key+".json")
	if b, err := os.ReadFile(file); err == nil {
		var v Verdict
		if json.Unmarshal(b, &v) == nil && v.Accel != "" {
			return v, nil
		}
	}
	v, err := probe(ctx, m)
	if err != nil {
		return Verdict{}, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return Verdict{}, err
	}
	return v, fsatomic.WriteFile(file, b, 0o644)
}

// probeKey names a verdict: by the kernel's content and the host's boot.
func probeKey(m *images.Machine) (string, error) {
	h := sha256.New()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	h.Write(boot)
	fmt.Fprintln(h, m.QEMU, m.Args, m.Append)
	if m.Kernel != "" {
		f, err := os.Open(m.Kernel)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if _, err := io.Copy(h, f); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

func probe(ctx context.Context, m *images.Machine) (Verdict, error) {
	parent := ctx
	last, limit := m.Stages[len(m.Stages)-1].Name, probeTime
	if m.Probe != nil {
		last, limit = m.Probe.Stage, m.Probe.Time
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	reached := make(chan struct{})
	stage := "none"
	p, err := Start(ctx, Config{
		Name:      "hurdlab-kvm-probe",
		Machine:   m,
		Accel:     KVM,
		unplugged: true,
		Stage: func(s images.Stage) {
			stage = s.Name
			if s.Name == last {
				close(reached)
			}
		},
	})
	if parent.Err() != nil {
		return Verdict{}, context.Cause(parent)
	}
	if err != nil {
		return Verdict{TCG, "KVM does not work: " + err.Error()}, nil
	}
	defer p.NIC().Close()
	v := Verdict{KVM, "KVM boots this kernel"}
	select {
	case <-reached:
		p.Kill()
		<-p.Done()
		return v, nil
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		<-p.Done()
	}
	if parent.Err() != nil {
		return Verdict{}, context.Cause(parent)
	}
	// The goroutine that wrote stage has ended with the process.
	return Verdict{TCG, fmt.Sprintf("/dev/kvm is there but does not run this kernel: last stage reached in %v: %s",
		limit, strings.TrimSpace(stage))}, nil
}
