// Package hurdio has what the node's servers share of the Hurd's protocols:
// error numbers, the ids of the io routines, and the encoding of io_stat.
// Package hurd replaces it when there is one.
//
// The facts are from the reference document hurd-protocol.md: sections 5.2
// (io), 5.6 (io_stat), 5.13 (errors).
package hurdio

import (
	"errors"
	"io/fs"

	"hurdlab/images/mach/store"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/mach/wire"
)

// Error numbers of the Hurd, as the codes of answers.
const (
	EPERM        = errno | 1
	ENOENT       = errno | 2
	EINTR        = errno | 4
	EIO          = errno | 5
	EBADF        = errno | 9
	ECHILD       = errno | 10
	ENOMEM       = errno | 12
	EACCES       = errno | 13
	EEXIST       = errno | 17
	ENODEV       = errno | 19
	ENOTDIR      = errno | 20
	EISDIR       = errno | 21
	EINVAL       = errno | 22
	ENOTTY       = errno | 25
	ENOSPC       = errno | 28
	ESPIPE       = errno | 29
	EROFS        = errno | 30
	EPIPE        = errno | 32
	EAGAIN       = errno | 35
	EOPNOTSUPP   = errno | 45
	ENAMETOOLONG = errno | 63
	ENOTEMPTY    = errno | 66

	errno mach.KernReturn = 0x40000000
)

// Routines of every io object.
const (
	Write             = 21000
	Read              = 21001
	Seek              = 21002
	Readable          = 21003
	SetAllOpenModes   = 21004
	GetOpenModes      = 21005
	SetSomeOpenModes  = 21006
	ClearSomeOpenMode = 21007
	Select            = 21012
	Stat              = 21013
	Duplicate         = 21016
	Map               = 21018
	Identity          = 21029

	// Interrupt is interrupt_operation, which cancels the waits on an object.
	Interrupt = 33000
)

// Flags of opening, which are also the modes of an open object.
const (
	ORead     = 0x1
	OWrite    = 0x2
	OExec     = 0x4
	ONonblock = 0x8
	OCreat    = 0x10
	OExcl     = 0x20
	OAppend   = 0x100
	OTrunc    = 0x10000
)

// What io_select can wait for.
const (
	SelectRead  = 1
	SelectWrite = 2
)

// Types of files in a Hurd mode.
const (
	modeDir  = 0o040000
	modeReg  = 0o100000
	modeFIFO = 0o010000
	modeSock = 0o140000
)

// MaxRead is the most that an io_read returns, in bytes.
const MaxRead = 64 << 10

// An Answer is the duty to answer a request later: a [mach.Deferred], or a
// stand-in for it in a test.
type Answer interface {
	NewReply() *mach.Message
	Send(*mach.Message) error
	Fail(error) error
}

var _ Answer = (*mach.Deferred)(nil)

// Code returns the code that tells err, of package store's or io/fs's, to a
// client.
func Code(err error) mach.KernReturn {
	if k, ok := errors.AsType[mach.KernReturn](err); ok {
		return k
	}
	for _, e := range []struct {
		err  error
		code mach.KernReturn
	}{
		{fs.ErrNotExist, ENOENT},
		{fs.ErrExist, EEXIST},
		{fs.ErrPermission, EACCES},
		{fs.ErrInvalid, EINVAL},
		{store.ErrNotDir, ENOTDIR},
		{store.ErrIsDir, EISDIR},
		{store.ErrNotEmpty, ENOTEMPTY},
		{store.ErrNoSpace, ENOSPC},
		{store.ErrNameTooLong, ENAMETOOLONG},
	} {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return mach.Code(err)
}

// Mode returns a file's mode as the Hurd encodes it.
func Mode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	switch m.Type() {
	case fs.ModeDir:
		return bits | modeDir
	case fs.ModeNamedPipe:
		return bits | modeFIFO
	case fs.ModeSocket:
		return bits | modeSock
	}
	return bits | modeReg
}

// PutStat appends the result of io_stat for a file.
func PutStat(reply *mach.Message, i store.Info) {
	const block = 4096
	sec, nsec := i.ModTime.Unix(), int64(i.ModTime.Nanosecond())
	if i.ModTime.IsZero() {
		sec, nsec = 0, 0
	}
	mode := int64(Mode(i.Mode))
	blocks := (i.Size + 511) / 512
	if reply.Layout() == wire.Layout64 {
		// The same fields, of 64 bits where they are long, or two in one.
		reply.PutInt64s(
			0, 0, int64(i.Ino), 0, 0, mode, 1, 0, i.Size,
			sec, nsec, sec, nsec, sec, nsec, block, blocks, 0, 0, 0, 0, 0)
		return
	}
	lo, hi := func(x int64) int32 { return int32(x) }, func(x int64) int32 { return int32(x >> 32) }
	reply.PutInt32s(
		0,    // fstype
		0, 0, // fsid
		lo(int64(i.Ino)), hi(int64(i.Ino)),
		0, 0, // generation, rdev
		int32(mode), 1, // links
		0, 0, // uid, gid
		lo(i.Size), hi(i.Size),
		int32(sec), int32(nsec), int32(sec), int32(nsec), int32(sec), int32(nsec),
		block, lo(blocks), hi(blocks),
		0, 0, // author, flags
		0, 0, 0, 0, 0, 0, 0, 0)
}

// PutData appends bytes that the receiver gets to keep, as an array of
// characters: inline, or in pages of their own that go with the message. b
// may change afterwards.
func PutData(reply *mach.Message, b []byte) error {
	if len(b) <= wire.InlineLimit {
		reply.PutData(mach.Char, b)
		return nil
	}
	pages, err := vmem.Memory{}.Alloc(len(b))
	if err != nil {
		return err
	}
	copy(pages, b)
	reply.PutMemory(mach.Char, uint64(vmem.Addr(pages)), len(b), true)
	return nil
}
