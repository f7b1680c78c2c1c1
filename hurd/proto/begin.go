package proto

import (
	"context"

	"hurdlab/mach"
)

// The routine, as in hurd.idl.
const (
	ioWrite     = 21000
	ioWriteName = "io_write"
)

// A BegunIOWrite is an io_write that has been sent, and whose answer is looked at later.
type BegunIOWrite struct {
	to    mach.Port
	begun *mach.Begun
}

// BeginIOWrite sends io_write, and does not wait for the answer: only for room in the queue,
// until ctx ends. After an error nothing was sent.
func BeginIOWrite(ctx context.Context, to mach.Port, data []byte, offset int64) (*BegunIOWrite, error) {
	m := mach.NewMessage(ioWrite)
	putData(m, data)
	m.PutInt64(offset)
	b, err := mach.Begin(ctx, to, m)
	if err != nil {
		return nil, failed(ioWriteName, err)
	}
	return &BegunIOWrite{to, b}, nil
}

// Wait waits for the answer. When ctx ends it returns its cause, and tells the server to give up.
// It is the last call, as are Abandon, and a Look that finds the answer.
func (w *BegunIOWrite) Wait(ctx context.Context) (amount uint64, err error) {
	m := new(mach.Message)
	if err := w.begun.Wait(ctx, m); err != nil {
		if ctx.Err() != nil {
			interrupt(ctx, w.to)
		}
		return 0, failed(ioWriteName, err)
	}
	return written(m)
}

// Look is Wait if the answer is there.
func (w *BegunIOWrite) Look() (amount uint64, known bool, err error) {
	m := new(mach.Message)
	if known, err = w.begun.Look(m); !known {
		return 0, false, nil
	}
	if err != nil {
		return 0, true, failed(ioWriteName, err)
	}
	amount, err = written(m)
	return amount, true, err
}

// Abandon tells the server to give up, and forgets the call.
func (w *BegunIOWrite) Abandon() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	interrupt(ended, w.to)
	w.begun.Abandon()
}

func written(m *mach.Message) (uint64, error) {
	amount := m.TakeWord()
	return amount, end(context.Background(), m, nil, ioWriteName)
}
