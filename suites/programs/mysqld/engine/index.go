package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/dolthub/go-mysql-server/sql"
)

// An index is the primary key of a table, if it is one column of integers. What a lookup
// gives may be more than what was asked for: the SQL engine compares again.
type index struct {
	table  *table
	column *sql.Column
}

var (
	_ sql.Index       = (*index)(nil)
	_ sql.AscendIndex = (*index)(nil)
	// The SQL engine takes BETWEEN only to indexes that are also this.
	_ sql.DescendIndex = (*index)(nil)
)

func (i *index) ID() string            { return "PRIMARY" }
func (i *index) Database() string      { return i.table.db.name }
func (i *index) Table() string         { return i.table.name }
func (i *index) Expressions() []string { return []string{i.table.name + "." + i.column.Name} }
func (i *index) IsUnique() bool        { return true }
func (i *index) Comment() string       { return "" }
func (i *index) IndexType() string     { return "BTREE" }
func (i *index) IsGenerated() bool     { return false }

func (i *index) Has(sql.Partition, ...any) (bool, error) {
	return false, fmt.Errorf("index of %s: Has is not there", i.table.name)
}

// between is the lookup of the keys from one value to another, and these; nil stands for
// no value there, which has no key.
func (i *index) between(from, to *any) sql.IndexLookup {
	s := span{0, math.MaxUint64}
	for _, v := range []*any{from, to} {
		if v != nil && *v == nil { // nothing is less or more than NULL
			return &lookup{index: i}
		}
	}
	if from != nil {
		if n, ok := ordinal(*from, false); ok {
			s.first = n
		}
	}
	if to != nil {
		if n, ok := ordinal(*to, true); ok {
			s.last = n
		}
	}
	return newLookup(i, s)
}

func (i *index) Get(key ...any) (sql.IndexLookup, error) { return i.between(&key[0], &key[0]), nil }

func (i *index) AscendGreaterOrEqual(keys ...any) (sql.IndexLookup, error) {
	return i.between(&keys[0], nil), nil
}

func (i *index) AscendLessThan(keys ...any) (sql.IndexLookup, error) {
	return i.between(nil, &keys[0]), nil
}

func (i *index) AscendRange(greaterOrEqual, lessThan []any) (sql.IndexLookup, error) {
	return i.between(&greaterOrEqual[0], &lessThan[0]), nil
}

func (i *index) DescendGreater(keys ...any) (sql.IndexLookup, error) {
	return i.between(&keys[0], nil), nil
}

func (i *index) DescendLessOrEqual(keys ...any) (sql.IndexLookup, error) {
	return i.between(nil, &keys[0]), nil
}

func (i *index) DescendRange(lessOrEqual, greaterThan []any) (sql.IndexLookup, error) {
	return i.between(&greaterThan[0], &lessOrEqual[0]), nil
}

// A span is of ordinals, both ends included.
type span struct{ first, last uint64 }

// A lookup is of rows whose ordinals are in spans, which are in order and have nothing in
// common.
type lookup struct {
	index *index
	spans []span
}

var _ sql.MergeableIndexLookup = (*lookup)(nil)

func newLookup(i *index, spans ...span) *lookup {
	l := &lookup{index: i}
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for _, s := range spans {
		if s.first > s.last {
			continue
		}
		if n := len(l.spans); n > 0 && s.first <= l.spans[n-1].last {
			l.spans[n-1].last = max(l.spans[n-1].last, s.last)
			continue
		}
		l.spans = append(l.spans, s)
	}
	return l
}

func (l *lookup) String() string { return fmt.Sprint(l.index.Expressions(), l.spans) }

func (l *lookup) IsMergeable(other sql.IndexLookup) bool {
	o, ok := other.(*lookup)
	return ok && o.index.table.name == l.index.table.name
}

func (l *lookup) Union(others ...sql.IndexLookup) (sql.IndexLookup, error) {
	spans := slices.Clone(l.spans)
	for _, o := range others {
		spans = append(spans, o.(*lookup).spans...)
	}
	return newLookup(l.index, spans...), nil
}

func (l *lookup) Intersection(others ...sql.IndexLookup) (sql.IndexLookup, error) {
	spans := l.spans
	for _, o := range others {
		var both []span
		for _, a := range spans {
			for _, b := range o.(*lookup).spans {
				both = append(both, span{max(a.first, b.first), min(a.last, b.last)})
			}
		}
		spans = both
	}
	return newLookup(l.index, spans...), nil
}

// Integers of all types have ordinals, in their order. Zero's is in the middle, so that there
// are none for those that are more than an int64: they cannot be keys.
const zero = 1 << 63

// exact is the ordinal of an integer, if it has one.
func exact(v any) (uint64, bool) {
	switch v := v.(type) {
	case int8:
		return uint64(v) + zero, true
	case int16:
		return uint64(v) + zero, true
	case int32:
		return uint64(v) + zero, true
	case int64:
		return uint64(v) + zero, true
	case uint8:
		return uint64(v) + zero, true
	case uint16:
		return uint64(v) + zero, true
	case uint32:
		return uint64(v) + zero, true
	case uint64:
		return v + zero, v < zero
	}
	return 0, false
}

// ordinal is that of a number that a column is compared with, if it is one: if it is not whole,
// of the next one up or down.
func ordinal(v any, up bool) (uint64, bool) {
	switch x := v.(type) {
	case int:
		v = int64(x)
	case uint:
		v = uint64(x)
	case bool:
		return 0, false
	case float32:
		v = float64(x)
	}
	if x, ok := v.(uint64); ok && x >= zero {
		return math.MaxUint64, true
	}
	if x, ok := v.(float64); ok {
		switch {
		case math.IsNaN(x):
			return 0, false
		case up:
			x = math.Ceil(x)
		default:
			x = math.Floor(x)
		}
		// A float64 has not the precision of an int64.
		switch {
		case x >= 1<<52:
			return math.MaxUint64, up
		case x <= -1<<52:
			return 0, !up
		}
		v = int64(x)
	}
	return exact(v)
}
