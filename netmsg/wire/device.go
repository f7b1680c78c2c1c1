package wire

import machwire "hurdlab/mach/wire"

// Answers that say which file system a file is on.
const (
	idIOStatReply     = 21013 + 100
	idFileStatfsReply = 20012 + 100
	idDoorLookupReply = 45204 + 100
)

// Device returns the 8 bytes, of little endian, by which an answer of io_stat, file_statfs
// or door_lookup says which file system a file is on (st_dev, f_fsid), or nil if the
// body is no such answer. They are the body's and may be changed. Each node gives these
// numbers for itself, so that those of two nodes may be the same.
func (b *Body) Device() []byte {
	var s structure
	var field int // which of its fields
	switch b.ID() {
	case idIOStatReply, idDoorLookupReply:
		s, field = structures[wordStat], 1
	case idFileStatfsReply:
		s, field = structures[wordStatfs], 7
	default:
		return nil
	}
	n := 0
	for it := range b.Items() {
		// Behind the code, which is all there is after an error.
		if n++; n < 2 {
			continue
		}
		at, size := s.offset(field, machwire.Layout32), s.small
		want := machwire.Int32
		if b.Layout() == machwire.Layout64 {
			at, size, want = s.offset(field, machwire.Layout64), s.large, machwire.Int64
		}
		if it.Type != want || len(it.Data) != size {
			return nil
		}
		return it.Data[at : at+8 : at+8]
	}
	return nil
}

// offset is where a field is in a layout.
func (s structure) offset(field int, l machwire.Layout) int {
	at := 0
	for i := range field + 1 {
		size := 4
		if f := s.fields[i]; f == field64 || f != field32 && l == machwire.Layout64 {
			size = 8
		}
		if l == machwire.Layout64 && size == 8 {
			at = (at + 7) &^ 7
		}
		if i == field {
			break
		}
		at += size
	}
	return at
}
