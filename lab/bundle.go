package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hurdlab/internal/fsatomic"
	"hurdlab/lab/api"
	"hurdlab/lab/state"
)

// Bundle packs all that is known of the lab into a file in the directory dir
// (the bundles' own if it is ""), for whoever has to find out what went
// wrong: consoles, events, the monitors' logs, captures, the seed, and the
// command to start such a lab again. It returns the file's name.
func (l *Lab) Bundle(ctx context.Context, dir string) (string, error) {
	s, err := l.Status(ctx)
	if err != nil {
		s = nil // the more reason for a bundle
	}
	if dir == "" {
		dir = l.dirs.Bundles()
	}
	return bundle(l.dir, s, dir)
}

// Bundle is [Lab.Bundle] for a lab that need not run.
func Bundle(ctx context.Context, dirs state.Dirs, name, dir string) (string, error) {
	if l, err := Open(dirs, name); err == nil {
		return l.Bundle(ctx, dir)
	}
	d, err := dirs.Lab(name)
	if err != nil {
		return "", err
	}
	if c, err := d.Condition(); err != nil {
		return "", err
	} else if c == state.Absent {
		return "", absent(dirs, name)
	}
	if dir == "" {
		dir = dirs.Bundles()
	}
	return bundle(d, nil, dir)
}

// maxBundles is how many bundles are kept that nobody has asked for.
const maxBundles = 20

// bundleTo makes a bundle among the others, and deletes the oldest of them.
func bundleTo(dirs state.Dirs, dir state.Dir) (string, error) {
	file, err := bundle(dir, nil, dirs.Bundles())
	if err != nil {
		return "", err
	}
	return file, prune(dirs.Bundles(), maxBundles)
}

// prune deletes all but the newest files of a directory.
func prune(dir string, keep int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type file struct {
		name string
		time time.Time
	}
	var files []file
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another start prunes too
		}
		if err != nil {
			return err
		}
		files = append(files, file{e.Name(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b file) int { return b.time.Compare(a.time) })
	for _, f := range files[min(keep, len(files)):] {
		if err := os.Remove(filepath.Join(dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// bundle packs the lab in dir into a new file in the directory to; s is nil
// if it does not run.
func bundle(dir state.Dir, s *api.Status, to string) (string, error) {
	name := fmt.Sprintf("hurdlab-%s-%s", dir.Name, time.Now().Format("20060102-150405.000"))
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	t := tar.NewWriter(gz)
	add := func(file string, contents []byte) error {
		if err := t.WriteHeader(&tar.Header{
			Name: name + "/" + file, Mode: 0o644, Size: int64(len(contents)), ModTime: time.Now(),
		}); err != nil {
			return err
		}
		_, err := t.Write(contents)
		return err
	}
	if err := add("README.txt", []byte(readme(dir, s))); err != nil {
		return "", err
	}
	if s != nil {
		b, err := json.MarshalIndent(s, "", "\t")
		if err != nil {
			return "", err
		}
		if err := add("status.json", b); err != nil {
			return "", err
		}
	}
	err := filepath.WalkDir(dir.Path(), func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() || !bundled(e.Name()) {
			return nil
		}
		contents, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a lab that runs changes
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir.Path(), p)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(rel), contents)
	})
	if err == nil {
		err = errors.Join(t.Close(), gz.Close())
	}
	if err == nil {
		name = filepath.Join(to, name+".tar.gz")
		err = fsatomic.WriteFile(name, b.Bytes(), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("make a bundle of lab %s: %w", dir.Name, err)
	}
	return name, nil
}

// bundled says whether a file goes into bundles. They are sent to others, so
// no file does that may hold a private key.
func bundled(file string) bool {
	switch filepath.Ext(file) {
	case ".log", ".jsonl", ".pcap":
		return true
	}
	switch file {
	case "lab.json", "daemon.json", "end.json":
		return true
	}
	return false
}

// readme tells what happened, as far as is known, and how to see it again.
func readme(dir state.Dir, s *api.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Lab %q of hurdlab, packed at %s.\n\n", dir.Name, time.Now().Format(time.RFC3339))
	l, err := dir.Lab()
	if err != nil {
		fmt.Fprintf(&b, "What it was is not known: %v\n", err)
		return b.String()
	}
	fmt.Fprintf(&b, "Started:  %s, %d nodes of image %s, %s (%s)\n", l.Created.Format(time.RFC3339), len(l.Nodes), l.Image, l.Accel, l.AccelWhy)
	fmt.Fprintf(&b, "Seed:     %d (decides what the network's faults do)\n", l.Seed)
	fmt.Fprintf(&b, "Command:  %s\n", commandLine(l.Command))
	if !strings.Contains(strings.Join(l.Command, " "), "--seed") {
		fmt.Fprintf(&b, "Again:    the same, with --seed %d\n", l.Seed)
	}
	b.WriteString("\n")
	if s == nil {
		if why, err := dir.Explain(); err == nil {
			fmt.Fprintf(&b, "It does not run: %s.\n", why)
		}
	} else {
		fmt.Fprintf(&b, "It is %s.\n", s.State)
		for _, n := range s.Nodes {
			fmt.Fprintf(&b, "%s is %s", n.Name, n.State)
			if n.Why != "" {
				fmt.Fprintf(&b, ": %s", n.Why)
			}
			b.WriteString("\n")
		}
	}
	found, err := checkConsoles(dir, l, nil, nil)
	if err != nil {
		fmt.Fprintf(&b, "\nThe consoles could not be searched: %v\n", err)
	}
	if len(found) > 0 {
		b.WriteString("\nTrouble on the consoles:\n")
		for _, f := range found {
			fmt.Fprintf(&b, "  %s, line %d, %s: %s\n", f.Node, f.Number, f.Kind, f.Line)
		}
	}
	b.WriteString("\nevents.jsonl is what happened; NODE/console.log what a node said; NODE/monitor.log\nthe traffic with its QEMU, NODE/qemu.log what QEMU logged.\n")
	return b.String()
}
