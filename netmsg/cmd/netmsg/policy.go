package main

import (
	"io/fs"
	"os"
	"sync"
	"time"

	"hurdlab/netmsg/door"
)

// A policy is that in a file, which is read again when it has changed.
type policy struct {
	file string
	log  func(format string, args ...any)

	mu     sync.Mutex
	now    *door.Policy
	stamp  stamp     // of what was read last, good or bad
	looked time.Time // when it was compared
}

// A stamp tells versions of a file apart; the zero stamp is that of none.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(file string) stamp {
	st, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{st.Size(), st.ModTime()}
}

// lookTime is how old what is known of the file may be.
const lookTime = time.Second

// current returns the policy. One that cannot be read is as if it had not been
// written yet: the one before counts.
func (p *policy) current() *door.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) > lookTime {
		p.looked = now
		if s := stampOf(p.file); s != p.stamp {
			if err := p.read(s); err != nil {
				p.log("the old policy stays: %v", err)
			}
		}
	}
	return p.now
}

// reload reads the policy at once.
func (p *policy) reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(stampOf(p.file))
}

func (p *policy) read(s stamp) error {
	was := p.stamp
	p.stamp = s
	if was != (stamp{}) && s == (stamp{}) {
		// What a file forbids is not to be allowed because it has gone.
		return &fs.PathError{Op: "read", Path: p.file, Err: fs.ErrNotExist}
	}
	now, err := door.ReadPolicy(p.file)
	if err != nil {
		return err
	}
	p.now = now
	return nil
}
