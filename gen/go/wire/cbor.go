package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

// Deterministic CBOR (RFC 8949 §4.2.1), as far as the signed documents need it: definite lengths,
// shortest heads.
const (
	majorUnsigned = 0
	majorBytes    = 2
	majorText     = 3
	majorMap      = 5
)

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, value uint64) []byte { return appendHead(b, majorUnsigned, value) }

// AppendBytes appends a byte string.
func AppendBytes(b, value []byte) []byte {
	return append(appendHead(b, majorBytes, uint64(len(value))), value...)
}

// AppendText appends a text string, which must be UTF-8.
func AppendText(b []byte, value string) []byte {
	return append(appendHead(b, majorText, uint64(len(value))), value...)
}

// AppendMap appends the head of a map of this many pairs, which follow.
func AppendMap(b []byte, pairs int) []byte { return appendHead(b, majorMap, uint64(pairs)) }

func appendHead(b []byte, major byte, value uint64) []byte {
	major <<= 5
	switch {
	case value < 24:
		return append(b, major|byte(value))
	case value <= math.MaxUint8:
		return append(b, major|24, byte(value))
	case value <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(value))
	case value <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(value))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), value)
	}
}

// CBORReader reads items one after the other, and accepts only what the functions above append. Once
// it failed, it gives nothing but zeroes.
type CBORReader struct {
	rest   []byte
	failed bool
}

// NewCBORReader begins to read.
func NewCBORReader(b []byte) *CBORReader { return &CBORReader{rest: b} }

// OK says whether nothing has failed so far.
func (r *CBORReader) OK() bool { return !r.failed }

// Finish says whether nothing has failed and all was read.
func (r *CBORReader) Finish() bool { return !r.failed && len(r.rest) == 0 }

// Expect fails the reader unless the condition holds.
func (r *CBORReader) Expect(condition bool) { r.failed = r.failed || !condition }

// Uint reads an unsigned integer.
func (r *CBORReader) Uint() uint64 { return r.head(majorUnsigned) }

// Map reads the head of a map and gives the number of pairs.
func (r *CBORReader) Map() uint64 { return r.head(majorMap) }

// Bytes reads a byte string; an empty one is nil.
func (r *CBORReader) Bytes() []byte { return r.string(majorBytes) }

// Text reads a text string.
func (r *CBORReader) Text() string {
	b := r.string(majorText)
	r.Expect(utf8.Valid(b))
	return string(b)
}

func (r *CBORReader) string(major byte) []byte {
	b := r.take(r.head(major))
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}

func (r *CBORReader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// head gives the argument of an item's head, which must be the shortest for its value.
func (r *CBORReader) head(major byte) uint64 {
	first := r.take(1)
	if r.failed || first[0]>>5 != major || first[0]&31 > 27 {
		r.failed = true
		return 0
	}
	code := first[0] & 31
	if code < 24 {
		return uint64(code)
	}
	var value uint64
	for _, digit := range r.take(1 << (code - 24)) {
		value = value<<8 | uint64(digit)
	}
	least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[code-24]
	r.Expect(value >= least)
	return value
}
