// Package state is what a lab keeps on disk: everything there is to know
// about it, so that a lab can be found again, or explained after its death,
// by whoever comes next.
//
//	$XDG_STATE_HOME/hurdlab/          default ~/.local/state/hurdlab
//	    NAME/
//	        lab.json       what the lab is: written once, before it starts
//	        daemon.json    its daemon: where to reach it; touched every second
//	        end.json       when and why it ended
//	        events.jsonl   what happened
//	        daemon.log     output of the daemon
//	        net.pcap       all frames, if they were asked for
//	        id_ed25519     the key to log in with; known_hosts
//	        NODE/          one directory a node: console.log, monitor.log,
//	                       host key and what the image puts there
//	    .locks/NAME        locked by whoever runs or starts the lab
//	    .bundles/          failure bundles
//
// The lock decides whether a lab is alive, for the kernel takes it back
// however a process ends. Package lab and its daemon (labd) share this
// package; it imports images and fsatomic only.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
	"hurdlab/lab/problem"
)

// Dirs is where hurdlab keeps its files.
type Dirs struct {
	// State holds a directory per lab.
	State string
	// Cache holds what can be obtained again.
	Cache string
}

// DefaultDirs are the directories that the XDG conventions give; getenv is
// os.Getenv.
func DefaultDirs(getenv func(string) string) (Dirs, error) {
	dir := func(env, below string) (string, error) {
		base := getenv(env)
		if base == "" || !filepath.IsAbs(base) { // the convention says: ignore
			home := getenv("HOME")
			if home == "" {
				return "", problem.New("neither $"+env+" nor $HOME is set, so there is no place for hurdlab's files",
					"set HOME or "+env+" to a directory of yours")
			}
			base = filepath.Join(home, below)
		}
		return filepath.Join(base, "hurdlab"), nil
	}
	state, err := dir("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return Dirs{}, err
	}
	cache, err := dir("XDG_CACHE_HOME", ".cache")
	return Dirs{State: state, Cache: cache}, err
}

// Bundles is the directory for failure bundles.
func (d Dirs) Bundles() string { return filepath.Join(d.State, ".bundles") }

// names is what a lab can be called: it becomes part of file names.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// CheckName says whether a lab can have this name.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return problem.New(fmt.Sprintf("a lab cannot be called %q", name),
			"use up to 31 lower-case letters, digits and hyphens, such as --name my-lab")
	}
	return nil
}

// A Dir is the directory of one lab.
type Dir struct {
	// Name is the lab's.
	Name string
	dirs Dirs
}

// Lab returns the directory of the lab with a name, which need not exist.
func (d Dirs) Lab(name string) (Dir, error) {
	if err := CheckName(name); err != nil {
		return Dir{}, err
	}
	return Dir{name, d}, nil
}

// Labs lists the names of the labs that have left anything on the disk.
func (d Dirs) Labs() ([]string, error) {
	entries, err := os.ReadDir(d.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() && names.MatchString(e.Name()) {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// Path is the lab's directory.
func (d Dir) Path() string { return filepath.Join(d.dirs.State, d.Name) }

// File is the path of a file in the lab's directory.
func (d Dir) File(name string) string { return filepath.Join(d.Path(), name) }

// Files of a lab, for [Dir.File].
const (
	EventsFile  = "events.jsonl"
	DaemonLog   = "daemon.log"
	CaptureFile = "net.pcap"
	ClientKey   = "id_ed25519"
	KnownHosts  = "known_hosts"
	labFile     = "lab.json"
	daemonFile  = "daemon.json"
	endFile     = "end.json"
	ConsoleLog  = "console.log"          // of a node
	MonitorLog  = "monitor.log"          // of a node
	EmulatorLog = "qemu.log"             // of a node
	HostKey     = "ssh_host_ed25519_key" // of a node
)

// Node is the directory of a node's files.
func (d Dir) Node(name string) string { return filepath.Join(d.Path(), name) }

// NodeFile is the path of a file of a node.
func (d Dir) NodeFile(node, file string) string { return filepath.Join(d.Node(node), file) }

// Remove deletes all that is known of the lab. The caller holds its lock.
func (d Dir) Remove() error { return os.RemoveAll(d.Path()) }

// A Lab is what lab.json says.
type Lab struct {
	Name    string       `json:"name"`
	Created time.Time    `json:"created"`
	Image   string       `json:"image"`
	Seed    uint64       `json:"seed"`
	Prefix  netip.Prefix `json:"prefix"`
	// Accel is how the machines run, and AccelWhy why so.
	Accel    string `json:"accel"`
	AccelWhy string `json:"accel_why"`
	// BootTimeout bounds the time that a boot may take from one stage to the
	// next.
	BootTimeout time.Duration `json:"boot_timeout"`
	// Capture says that all frames are kept in CaptureFile.
	Capture bool `json:"capture,omitempty"`
	// Command starts the same lab again.
	Command []string `json:"command"`
	Nodes   []Node   `json:"nodes"`
}

// A Node is a node as the lab was told to make it.
type Node struct {
	Name    string         `json:"name"`
	MAC     [6]byte        `json:"mac"`
	Addr    netip.Addr     `json:"addr"`
	Machine images.Machine `json:"machine"`
}

// Node finds a node by name.
func (l *Lab) Node(name string) (*Node, error) {
	i := slices.IndexFunc(l.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return nil, problem.New(
			fmt.Sprintf("lab %q has no node called %q", l.Name, name),
			fmt.Sprintf("its nodes are %s to %s", l.Nodes[0].Name, l.Nodes[len(l.Nodes)-1].Name))
	}
	return &l.Nodes[i], nil
}

// A Daemon is what daemon.json says: the process that holds a lab.
type Daemon struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Socket is its address, in Linux's abstract name space.
	Socket string `json:"socket"`
	// BootID identifies the boot of the host, for one that has been switched
	// off cannot have left processes.
	BootID string `json:"boot_id"`
}

// An End is what end.json says: how a lab ended that was not taken down.
type End struct {
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
	// Do says what the user can do about it, if anything.
	Do string `json:"do,omitempty"`
}

// WriteLab records what the lab is.
func (d Dir) WriteLab(l *Lab) error { return d.write(labFile, l) }

// Lab reads what the lab is.
func (d Dir) Lab() (*Lab, error) { return read[Lab](d, labFile) }

// WriteDaemon records the lab's daemon.
func (d Dir) WriteDaemon(v *Daemon) error { return d.write(daemonFile, v) }

// Daemon reads who the lab's daemon is.
func (d Dir) Daemon() (*Daemon, error) { return read[Daemon](d, daemonFile) }

// Touch records that the daemon was alive at t.
func (d Dir) Touch(t time.Time) error { return os.Chtimes(d.File(daemonFile), t, t) }

// LastSeen says when the daemon was last known to be alive, to a second.
func (d Dir) LastSeen() (time.Time, error) {
	st, err := os.Stat(d.File(daemonFile))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// WriteEnd records how the lab ended.
func (d Dir) WriteEnd(e *End) error { return d.write(endFile, e) }

// End reads how the lab ended; fs.ErrNotExist means that nobody could say.
func (d Dir) End() (*End, error) { return read[End](d, endFile) }

func (d Dir) write(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	// There are private keys in and below lab.json.
	if err := os.MkdirAll(d.Path(), 0o700); err != nil {
		return err
	}
	return fsatomic.WriteFile(d.File(name), append(b, '\n'), 0o600)
}

func read[T any](d Dir, name string) (*T, error) {
	b, err := os.ReadFile(d.File(name))
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, problem.Wrap(err, fmt.Sprintf("%s is damaged", d.File(name)),
			fmt.Sprintf("delete the lab's state with: hurdlab down --name %s", d.Name))
	}
	return v, nil
}
