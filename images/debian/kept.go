package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// A Store is a directory with images that were made of nodes' disks: for each a file
// NAME.json, which names the disk.
type Store struct{ Dir string }

// A Kept is what is known of an image in a store.
type Kept struct {
	Name string    `json:"name"`
	File string    `json:"file"` // in the store
	Made time.Time `json:"made"`
	// From is the image of the node, and About what was done to it.
	From  string `json:"from"`
	About string `json:"about"`
}

var keptName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// Put makes an image: write writes the disk to a file, whose file system is then mended
// as the system's own check would: programs that were replaced while they ran are no
// files any more, and have their blocks still. What was there by the name is
// replaced when that is done, and its disk deleted unless it is still in use, which the
// caller knows.
func (s Store) Put(ctx context.Context, k Kept, inUse bool, write func(ctx context.Context, file string) error) error {
	if !keptName.MatchString(k.Name) {
		return fmt.Errorf("an image cannot be called %q: use lower-case letters, digits and hyphens", k.Name)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	before, err := s.get(k.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	k.File = fmt.Sprintf("%s-%d.img", k.Name, k.Made.UnixNano())
	if err := write(ctx, filepath.Join(s.Dir, k.File)); err != nil {
		os.Remove(filepath.Join(s.Dir, k.File)) // what there is of it
		return err
	}
	if err := mend(ctx, filepath.Join(s.Dir, k.File)); err != nil {
		return errors.Join(err, os.Remove(filepath.Join(s.Dir, k.File)))
	}
	// Two labs may use it at once, and its own is never written to.
	if err := os.Chmod(filepath.Join(s.Dir, k.File), 0o400); err != nil {
		return err
	}
	b, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	if err := fsatomic.WriteFile(filepath.Join(s.Dir, k.Name+".json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	if before != nil && !inUse && before.File != k.File {
		return os.Remove(filepath.Join(s.Dir, filepath.Base(before.File)))
	}
	return nil
}

// mend mends the root file system in a disk image.
func mend(ctx context.Context, file string) error {
	l, _, err := find(ctx, file)
	if err != nil {
		return err
	}
	_, err = l.fs.Mend(ctx)
	return err
}

func (s Store) get(name string) (*Kept, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, name+".json"))
	if err != nil {
		return nil, err
	}
	k := new(Kept)
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return k, nil
}

// Images are those in the store.
func (s Store) Images(opt Options) (images.Catalogue, error) {
	names, err := filepath.Glob(filepath.Join(s.Dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var list images.Catalogue
	for _, file := range names {
		name := filepath.Base(file[:len(file)-len(".json")])
		k, err := s.get(name)
		if err != nil {
			return nil, err
		}
		list = append(list, &image{name: name, opt: opt, file: filepath.Join(s.Dir, filepath.Base(k.File)),
			about: fmt.Sprintf("%s, %s on %s", k.From, k.About, k.Made.Format(time.DateOnly))})
	}
	return list, nil
}
