package sysinit

import (
	"context"
	"fmt"
	"time"
)

// A Service is a program that is always to run.
type Service struct {
	Name string
	Argv []string
	Env  []string

	pid     int32
	started []time.Time // the last starts
}

// A service that ends this often within the time is not started again.
const (
	maxStarts  = 5
	startsTime = time.Minute
)

// A System starts and reaps processes.
type System interface {
	// Start starts a program as a child of this process.
	Start(ctx context.Context, argv, env []string) (pid int32, err error)
	// Wait waits for the end of any child and returns its number and its
	// status as wait does.
	Wait(ctx context.Context) (pid, status int32, err error)
	Now() time.Time
	Logf(format string, args ...any)
}

// Supervise starts the services, and again when they end, and reaps whatever
// else ends, until ctx does. It returns what it could not do.
func Supervise(ctx context.Context, sys System, services ...*Service) error {
	for _, s := range services {
		if err := s.start(ctx, sys); err != nil {
			return err
		}
	}
	for {
		pid, status, err := sys.Wait(ctx)
		if err != nil {
			return fmt.Errorf("wait for processes: %w", err)
		}
		for _, s := range services {
			if s.pid != pid {
				continue
			}
			s.pid = 0
			sys.Logf("%s has ended (%s)", s.Name, describe(status))
			if err := s.start(ctx, sys); err != nil {
				sys.Logf("%v", err)
			}
		}
	}
}

func (s *Service) start(ctx context.Context, sys System) error {
	now := sys.Now()
	for len(s.started) > 0 && now.Sub(s.started[0]) >= startsTime {
		s.started = s.started[1:]
	}
	if len(s.started) >= maxStarts {
		return fmt.Errorf("%s ends all the time; it is not started again", s.Name)
	}
	s.started = append(s.started, now)
	pid, err := sys.Start(ctx, s.Argv, s.Env)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	s.pid = pid
	return nil
}

// describe tells a status as wait returns it.
func describe(status int32) string {
	if sig := status & 0x7f; sig != 0 {
		return fmt.Sprintf("signal %d", sig)
	}
	return fmt.Sprintf("status %d", status>>8&0xff)
}
