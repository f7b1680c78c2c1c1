package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"hurdlab/images"
	"hurdlab/lab/problem"
)

// minVersion is the first QEMU with "-netdev stream".
var minVersion = [2]int{7, 2}

// packages are Debian's packages with the emulator and its tools.
var packages = []string{"qemu-system-x86", "qemu-utils"}

// installCommand is what installs QEMU on Debian and its relatives.
func installCommand() string {
	return "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
}

// missing says that a program of QEMU's is not there.
func missing(bin string) error {
	return problem.New(
		fmt.Sprintf("%s is not installed", bin),
		"install QEMU 7.2 or later; on Debian and Ubuntu: sudo "+installCommand())
}

// A Version is QEMU's, such as 7.2.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

var versionLine = regexp.MustCompile(`version (\d+)\.(\d+)`)

// Check makes sure that the emulator bin is there and new enough.
func Check(ctx context.Context, bin string) (Version, error) {
	path, err := exec.LookPath(bin)
	if err != nil {
		return Version{}, missing(bin)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if ctx.Err() != nil {
		return Version{}, context.Cause(ctx)
	}
	if err != nil {
		return Version{}, problem.Wrap(err, fmt.Sprintf("%s does not run", path), "reinstall QEMU: sudo "+installCommand())
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Version{}, fmt.Errorf("%s --version: no version in %q", path, out)
	}
	var v Version
	v.Major, _ = strconv.Atoi(string(m[1])) // digits, by the expression
	v.Minor, _ = strconv.Atoi(string(m[2]))
	if v.Major < minVersion[0] || v.Major == minVersion[0] && v.Minor < minVersion[1] {
		return v, problem.New(
			fmt.Sprintf("%s is version %v; a lab needs %d.%d or later", path, v, minVersion[0], minVersion[1]),
			"upgrade QEMU, for instance from your distribution's backports")
	}
	return v, nil
}

// Ensure makes sure that the emulator bin can be used. On Debian, as root, it
// installs QEMU if it is missing, and says so.
func Ensure(ctx context.Context, bin string, p images.Progress) error {
	_, err := exec.LookPath(bin)
	if err == nil {
		_, err = Check(ctx, bin)
		return err
	}
	if !canInstall() {
		return missing(bin)
	}
	done := p.Step("install QEMU: " + installCommand())
	err = install(ctx)
	done(err)
	if err != nil {
		return problem.Wrap(err, fmt.Sprintf("%s is missing, and installing it failed", bin), "install it yourself: "+installCommand())
	}
	_, err = Check(ctx, bin)
	return err
}

// canInstall says whether this is Debian or a relative, and we are root.
func canInstall() bool {
	if os.Geteuid() != 0 {
		return false
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return false
	}
	_, err := exec.LookPath("apt-get")
	return err == nil
}

// install installs the packages. A fresh machine has no lists of packages, or
// old ones, so a failure is tried again with new ones.
func install(ctx context.Context) error {
	argv := strings.Fields(installCommand())
	if err := apt(ctx, argv); err == nil || ctx.Err() != nil {
		return err
	}
	if err := apt(ctx, []string{"apt-get", "update"}); err != nil {
		return err
	}
	return apt(ctx, argv)
}

func apt(ctx context.Context, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	// dpkg is killed half-way only if it does not stop when asked.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out := &tail{}
	cmd.Stdout, cmd.Stderr = io.Writer(out), io.Writer(out)
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	if lines := out.lines(); len(lines) > 0 {
		err = errors.Join(err, errors.New(strings.Join(lines[max(0, len(lines)-5):], "\n")))
	}
	return err
}
