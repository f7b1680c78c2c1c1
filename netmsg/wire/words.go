package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"strings"

	machwire "hurdlab/mach/wire"
)

//go:generate go run ./gen

// A routine is what is known of one: what makes a difference between machines.
// Its items are described by a letter each, up to the last that depends on a
// machine's word size. The table is made from the descriptions of the routines,
// see gen.
type routine struct {
	id            int32
	name          string
	args, results string
}

const (
	wordNone   = '.'
	word       = 'w' // words: Int32 or Int64
	wordPair   = 'p' // timespec, timeval
	wordStat   = 's'
	wordStatfs = 'f'
	wordFlock  = 'l'
	wordRusage = 'r'
)

// replyID is how much the id of an answer is above that of its request.
const replyID = 100

// lookup finds the routine that a message with an id is of, or is the answer of.
func lookup(id int32) (r *routine, reply bool) {
	find := func(id int32) *routine {
		i := sort.Search(len(routines), func(i int) bool { return routines[i].id >= id })
		if i < len(routines) && routines[i].id == id {
			return &routines[i]
		}
		return nil
	}
	if r = find(id); r == nil && id >= math.MinInt32+replyID {
		r, reply = find(id-replyID), true
	}
	return r, reply
}

// wordItems describes the items of messages with an id.
func wordItems(id int32) string {
	switch r, reply := lookup(id); {
	case r == nil:
		return ""
	case reply:
		return r.results
	default:
		return r.args
	}
}

// Routine returns the name of the routine whose messages have an id, such as
// "io_read" or, for its answer, "io_read reply". It is "" if it is not known.
func Routine(id int32) string {
	r, reply := lookup(id)
	if r == nil {
		return ""
	}
	if reply {
		return r.name + " reply"
	}
	return r.name
}

// A layout of a structure says what its fields are, in order, and its sizes in
// the two layouts, with what is spare at its end.
type structure struct {
	fields       string
	small, large int
}

// Fields of structures. In the 64-bit layout those of 8 bytes are aligned to 8, in
// the other to 4.
const (
	field32       = 'i' // 32 bits in both layouts
	field64       = 'q' // 64 bits in both
	fieldWord     = 'w' // a word with a sign
	fieldUnsigned = 'u' // a word without
)

// The structures of the protocols (hurd-protocol.md, sections 5.6, 5.7 and 7.1).
var structures = map[byte]structure{
	wordPair:   {"ww", 8, 16},
	wordStat:   {"iqqiuiuiiqwwwwwwwqii", 128, 176},
	wordStatfs: {"iwqqqqqqwqww", 88, 112},
	wordFlock:  {"iiqqi", 28, 32},
	wordRusage: {strings.Repeat("w", 18), 72, 144},
}

// convertItem makes an item of the kind k, of a message of one layout, what it is
// in the other. An item that does not have the form that the kind should have
// is left as it is: its receiver will refuse it, as it would one of its own
// node.
func convertItem(it *Item, k byte, from, to machwire.Layout) error {
	t, bits := machwire.Int32, uint16(32)
	if from == machwire.Layout64 {
		t, bits = machwire.Int64, 64
	}
	if it.Type != t || it.Bits != bits {
		return nil
	}
	var out []byte
	if k == word {
		var err error
		if out, err = convertWords(it.Data, to); err != nil {
			return err
		}
	} else {
		s := structures[k]
		size := s.small
		if from == machwire.Layout64 {
			size = s.large
		}
		if len(it.Data) != size {
			return nil
		}
		out = s.convert(it.Data, to)
	}
	it.Type, it.Bits = machwire.Int64, 64
	if to == machwire.Layout32 {
		it.Type, it.Bits = machwire.Int32, 32
	}
	it.Data = out
	it.Number = uint32(len(out) / int(it.Bits/8))
	return nil
}

// convertWords converts addresses and sizes. What has all bits set, for "as much
// as there is", has them after.
func convertWords(data []byte, to machwire.Layout) ([]byte, error) {
	le := binary.LittleEndian
	var out []byte
	if to == machwire.Layout64 {
		out = make([]byte, 0, 2*len(data))
		for ; len(data) > 0; data = data[4:] {
			x := uint64(le.Uint32(data))
			if x == math.MaxUint32 {
				x = math.MaxUint64
			}
			out = le.AppendUint64(out, x)
		}
		return out, nil
	}
	out = make([]byte, 0, len(data)/2)
	for ; len(data) > 0; data = data[8:] {
		x := le.Uint64(data)
		if x > math.MaxUint32 && x != math.MaxUint64 {
			return nil, fmt.Errorf("%#x does not fit a word of 32 bits", x)
		}
		out = le.AppendUint32(out, uint32(x))
	}
	return out, nil
}

// convert converts a structure to a layout. A word that does not fit becomes the
// nearest that does: a file that has a field like that is better seen with a
// wrong one than not seen.
func (s structure) convert(data []byte, to machwire.Layout) []byte {
	le := binary.LittleEndian
	size := s.small
	if to == machwire.Layout64 {
		size = s.large
	}
	out := make([]byte, 0, size)
	in := 0 // in data
	wideIn, wideOut := to == machwire.Layout32, to == machwire.Layout64
	for i := range len(s.fields) {
		f := s.fields[i]
		// Take.
		var x uint64
		if f == field64 || f != field32 && wideIn {
			if wideIn {
				in = (in + 7) &^ 7
			}
			x = le.Uint64(data[in:])
			in += 8
		} else {
			x = uint64(int32(le.Uint32(data[in:])))
			if f == fieldUnsigned {
				x = uint64(uint32(x))
			}
			in += 4
		}
		// Put.
		if f == field64 || f != field32 && wideOut {
			for wideOut && len(out)%8 != 0 {
				out = append(out, 0)
			}
			out = le.AppendUint64(out, x)
			continue
		}
		switch f {
		case fieldWord:
			x = uint64(min(max(int64(x), math.MinInt32), math.MaxInt32))
		case fieldUnsigned:
			x = min(x, math.MaxUint32)
		}
		out = le.AppendUint32(out, uint32(x))
	}
	return append(out, make([]byte, size-len(out))...)
}
