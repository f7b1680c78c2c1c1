package download

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

	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// A Pin says which file an image is, from the first time that it was obtained
// on: whatever the site publishes later.
type Pin struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"` // of the archive
	Size   int64  `json:"size"`   // of the archive, in bytes
	// Signer is who has signed the sums; "" if they were not signed.
	Signer string    `json:"signer"`
	Pinned time.Time `json:"pinned"`
}

var isSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// readLock reads the pins.
func readLock(file string) (map[string]*Pin, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return make(map[string]*Pin), nil
	}
	if err != nil {
		return nil, err
	}
	return parseLock(file, b)
}

func parseLock(file string, b []byte) (map[string]*Pin, error) {
	lock := make(map[string]*Pin)
	if err := json.Unmarshal(b, &lock); err != nil {
		return nil, &LockError{file, err}
	}
	for name, p := range lock {
		if p == nil || !isSum.MatchString(p.SHA256) || p.URL == "" {
			return nil, &LockError{file, fmt.Errorf("%s has no URL or no SHA-256", name)}
		}
	}
	return lock, nil
}

// A LockError says that the lock file is damaged.
type LockError struct {
	File string
	Err  error
}

func (e *LockError) Error() string {
	return fmt.Sprintf("the pins of images in %s are damaged: %v", e.File, e.Err)
}

func (e *LockError) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *LockError) Advice() string { return "repair or delete it: images are then looked for again" }

// alone waits until nobody else fetches into a directory, and keeps others from it until
// release: they would write to the same file.
func alone(ctx context.Context, file string, pause time.Duration, p images.Progress) (release func(), err error) {
	guard, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		if err = unix.Flock(int(guard.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return func() { guard.Close() }, nil // which unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			guard.Close()
			return nil, err
		}
		if !told {
			p.Logf("another command gets an image; waiting for that")
		}
		select {
		case <-ctx.Done():
			guard.Close()
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// addPin adds a pin, while others may do the same.
func addPin(file, name string, p *Pin) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	guard, err := os.OpenFile(file+".guard", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer guard.Close() // which unlocks
	if err := unix.Flock(int(guard.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	lock, err := readLock(file)
	if err != nil {
		return err
	}
	lock[name] = p
	b, err := json.MarshalIndent(lock, "", "\t")
	if err != nil {
		return err
	}
	return fsatomic.WriteFile(file, append(b, '\n'), 0o600)
}
