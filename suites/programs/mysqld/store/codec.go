package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// What a record of the journal holds is a row of operations:
//
//	1 table schema       a table is made
//	2 table              a table is removed
//	3 table key n value  a row is put; n values follow
//	4 table key          a row is removed
//
// Texts are a length (a variable-length integer, as in encoding/binary) and bytes. A value
// is a byte that says its type in Go, and what it needs.
const (
	opCreate = 1 + iota
	opDrop
	opPut
	opDelete
)

type op struct {
	kind               byte
	table, schema, key string
	row                []any
}

const (
	isNil = iota
	isInt8
	isInt16
	isInt32
	isInt64
	isUint8
	isUint16
	isUint32
	isUint64
	isFloat32
	isFloat64
	isString
	isBytes
	isTime
)

func text(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (o op) append(b []byte) ([]byte, error) {
	b = text(append(b, o.kind), o.table)
	switch o.kind {
	case opCreate:
		b = text(b, o.schema)
	case opPut:
		b = binary.AppendUvarint(text(b, o.key), uint64(len(o.row)))
		for _, v := range o.row {
			var err error
			if b, err = value(b, v); err != nil {
				return nil, err
			}
		}
	case opDelete:
		b = text(b, o.key)
	}
	return b, nil
}

func value(b []byte, v any) ([]byte, error) {
	signed := func(kind byte, x int64) ([]byte, error) { return binary.AppendVarint(append(b, kind), x), nil }
	unsigned := func(kind byte, x uint64) ([]byte, error) { return binary.AppendUvarint(append(b, kind), x), nil }
	switch v := v.(type) {
	case nil:
		return append(b, isNil), nil
	case int8:
		return signed(isInt8, int64(v))
	case int16:
		return signed(isInt16, int64(v))
	case int32:
		return signed(isInt32, int64(v))
	case int64:
		return signed(isInt64, v)
	case uint8:
		return unsigned(isUint8, uint64(v))
	case uint16:
		return unsigned(isUint16, uint64(v))
	case uint32:
		return unsigned(isUint32, uint64(v))
	case uint64:
		return unsigned(isUint64, v)
	case float32:
		return unsigned(isFloat32, uint64(math.Float32bits(v)))
	case float64:
		return unsigned(isFloat64, math.Float64bits(v))
	case string:
		return text(append(b, isString), v), nil
	case []byte:
		return text(append(b, isBytes), string(v)), nil
	case time.Time:
		t, err := v.MarshalBinary()
		return text(append(b, isTime), string(t)), err
	}
	return nil, fmt.Errorf("store: a value of type %T cannot be stored", v)
}

var errDecode = errors.New("store: a record that is not ours")

// A decoder reads from bytes; after an error it reads nothing.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

func (d *decoder) uint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) int() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) value() any {
	switch d.byte() {
	case isNil:
		return nil
	case isInt8:
		return int8(d.int())
	case isInt16:
		return int16(d.int())
	case isInt32:
		return int32(d.int())
	case isInt64:
		return d.int()
	case isUint8:
		return uint8(d.uint())
	case isUint16:
		return uint16(d.uint())
	case isUint32:
		return uint32(d.uint())
	case isUint64:
		return d.uint()
	case isFloat32:
		return math.Float32frombits(uint32(d.uint()))
	case isFloat64:
		return math.Float64frombits(d.uint())
	case isString:
		return d.text()
	case isBytes:
		return []byte(d.text())
	case isTime:
		var t time.Time
		if err := t.UnmarshalBinary([]byte(d.text())); err != nil {
			d.bad = true
		}
		return t
	}
	d.bad = true
	return nil
}

func decode(b []byte) ([]op, error) {
	d := &decoder{b: b}
	var list []op
	for len(d.b) > 0 {
		o := op{kind: d.byte(), table: d.text()}
		switch o.kind {
		case opCreate:
			o.schema = d.text()
		case opDrop:
		case opPut:
			o.key = d.text()
			n := d.uint()
			if n > uint64(len(d.b)) { // a value has a byte at least
				return nil, errDecode
			}
			o.row = make([]any, n)
			for i := range o.row {
				o.row[i] = d.value()
			}
		case opDelete:
			o.key = d.text()
		default:
			return nil, errDecode
		}
		if d.bad {
			return nil, errDecode
		}
		list = append(list, o)
	}
	return list, nil
}
