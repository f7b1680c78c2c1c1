// Package journal is an append-only file of checksummed records: what is in it when
// Append has returned is there when it is opened again, whatever ended the process
// meanwhile.
//
// # The file
//
// It begins with 8 bytes of magic. A record is
//
//	length    4 bytes, little endian: of the payload, from 1 to MaxRecord
//	checksum  4 bytes: CRC-32C of sequence and payload
//	sequence  8 bytes: 1 for the first record, then one more each
//	payload
//
// Append writes a record, and waits until the file's server says that it is on its
// medium (fsync). Only then is another one written. So all that a crash can damage is
// the last record, of which nobody has been told that it was there: [Open] cuts it off. If
// a record is damaged and a later one is whole, then something else has happened to the
// file, and Open refuses it. What it cannot know is whether a last record that is damaged
// was whole once.
//
// A file is made, and made anew by [Journal.Replace], under another name, and renamed
// when all of it is on the medium.
package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MaxRecord is the greatest length of a payload, in bytes.
const MaxRecord = 64 << 20

const (
	magic  = "hljrnl1\n"
	header = 16 // of a record
)

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is of a file that no crash of ours has left.
var ErrCorrupt = errors.New("journal: corrupt")

// ErrBroken is what all calls return after one has failed to write: what the file has is not
// known then. It has to be opened again.
var ErrBroken = errors.New("journal: broken by an earlier error")

// A file is what the journal needs of an os.File.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// A Journal is open for appending. It is for one goroutine at a time.
type Journal struct {
	name   string
	f      file
	seq    uint64 // of the last record
	size   int64
	broken bool
	// create opens a new file; tests have theirs.
	create func(name string) (file, error)
}

// Opened says what was found.
type Opened struct {
	Records int
	Cut     int64 // bytes of a torn record
}

// Open opens the journal of a name, which it makes if there is none, and calls each with the
// payload of every record, in order. The bytes are each's to keep.
func Open(name string, each func(payload []byte) error) (*Journal, Opened, error) {
	j := &Journal{name: name, create: func(name string) (file, error) {
		return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}}
	var o Opened
	// One that was not finished.
	if err := os.Remove(j.temporary()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, o, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := j.Replace(func(func([]byte) error) error { return nil }); err != nil {
			return nil, o, err
		}
		return j, o, nil
	} else if err != nil {
		return nil, o, err
	}
	if err := j.read(f, &o, each); err != nil {
		f.Close()
		return nil, o, fmt.Errorf("%s: %w", name, err)
	}
	j.f = f
	return j, o, nil
}

func (j *Journal) temporary() string { return j.name + ".new" }

// read reads the records, and leaves the file at the end of the last.
func (j *Journal) read(f *os.File, o *Opened, each func([]byte) error) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 1<<16)
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r, start); err != nil || string(start) != magic {
		return fmt.Errorf("%w: no journal", ErrCorrupt)
	}
	j.size = int64(len(magic))
	for {
		payload, err := next(r, j.seq+1, st.Size()-j.size)
		if err == errTorn {
			break
		} else if err != nil {
			return err
		}
		if err := each(payload); err != nil {
			return fmt.Errorf("record %d: %w", j.seq+1, err)
		}
		j.seq++
		j.size += header + int64(len(payload))
		o.Records++
	}
	if o.Cut = st.Size() - j.size; o.Cut > 0 {
		rest := make([]byte, o.Cut)
		if _, err := f.ReadAt(rest, j.size); err != nil {
			return err
		}
		if whole(rest, j.seq+1) {
			return fmt.Errorf("%w: record %d is damaged, and a later one is not", ErrCorrupt, j.seq+1)
		}
		if err := f.Truncate(j.size); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	_, err = f.Seek(j.size, io.SeekStart)
	return err
}

var errTorn = errors.New("torn")

// next reads the record with a sequence number, of a file that has so many bytes left.
func next(r io.Reader, seq uint64, left int64) ([]byte, error) {
	var h [header]byte
	if left < header {
		return nil, errTorn
	}
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(h[:]))
	if n == 0 || n > MaxRecord || n > left-header || binary.LittleEndian.Uint64(h[8:]) != seq {
		return nil, errTorn
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(h[4:]) != sum(h[8:], payload) {
		return nil, errTorn
	}
	return payload, nil
}

func sum(seq, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(seq, table), table, payload)
}

// whole looks for a whole record in bytes, later than the one with a sequence number.
func whole(b []byte, seq uint64) bool {
	for ; len(b) > header; b = b[1:] {
		n := uint64(binary.LittleEndian.Uint32(b))
		// The sequence first: it is what keeps this from being slow.
		if s := binary.LittleEndian.Uint64(b[8:]); s <= seq || s > seq+1<<32 || n == 0 || n > uint64(len(b)-header) {
			continue
		}
		if binary.LittleEndian.Uint32(b[4:]) == sum(b[8:header], b[header:header+n]) {
			return true
		}
	}
	return false
}

func record(seq uint64, payload []byte) ([]byte, error) {
	if len(payload) == 0 || len(payload) > MaxRecord {
		return nil, fmt.Errorf("journal: a record of %d bytes", len(payload))
	}
	b := make([]byte, header, header+len(payload))
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint32(b[4:], sum(b[8:], payload))
	return append(b, payload...), nil
}

// Append writes a record and waits until it is on the medium.
func (j *Journal) Append(payload []byte) error {
	if j.broken {
		return ErrBroken
	}
	b, err := record(j.seq+1, payload)
	if err != nil {
		return err
	}
	if _, err = j.f.Write(b); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		j.broken = true
		return fmt.Errorf("journal: %w", err)
	}
	j.seq++
	j.size += int64(len(b))
	return nil
}

// Size is the length of the file, in bytes.
func (j *Journal) Size() int64 { return j.size }

// Replace makes the file anew, of the records that fill puts. If it fails before the
// new one is in the old one's place, the old one is as it was; the caller cannot know, and
// has to open it again.
func (j *Journal) Replace(fill func(put func(payload []byte) error) error) (err error) {
	if j.broken {
		return ErrBroken
	}
	defer func() {
		if err != nil {
			j.broken = true
			err = fmt.Errorf("journal: making it anew: %w", err)
		}
	}()
	f, err := j.create(j.temporary())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	seq, size := uint64(0), int64(len(magic))
	if _, err := w.WriteString(magic); err != nil {
		return err
	}
	if err := fill(func(payload []byte) error {
		b, err := record(seq+1, payload)
		if err != nil {
			return err
		}
		seq++
		size += int64(len(b))
		_, err = w.Write(b)
		return err
	}); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(j.temporary(), j.name); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(j.name)); err != nil {
		return err
	}
	if j.f != nil {
		j.f.Close() // all of it was on the medium
	}
	j.f, j.seq, j.size = f, seq, size
	return nil
}

// syncDir waits until a directory is on its medium, where servers know how to.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// Close closes the file. All records are on the medium already.
func (j *Journal) Close() error {
	j.broken = true
	return j.f.Close()
}
