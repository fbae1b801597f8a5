package wire

import (
	"encoding/binary"
	"errors"
)

// The limits of a message: how many pointers may be followed one after the other, the root's
// included, and how many elements without any bytes of their own there may be in all.
const (
	maxDepth         = 64
	maxEmptyElements = 65_536
)

// limit is one more than the largest element count and offset that a pointer can carry.
const limit = 1 << 29

// What has no canonical encoding.
var (
	ErrEncodeTooDeep  = errors.New("nested too deeply")
	ErrEncodeTooLarge = errors.New("too large for a message")
)

// Builder holds the members of a struct on their way out. Both sections grow as they are written.
type Builder struct {
	data     []byte
	pointers []*object
}

// object is what a pointer leads to, on its way out. One of its members is set, by kind.
type object struct {
	kind        objectKind
	structs     []*Builder // kindStruct has one
	pointers    []*object
	scalars     []byte
	elementSize uint64
	count       int
}

type objectKind int

const (
	kindStruct objectKind = iota
	kindStructs
	kindPointers
	kindScalars
)

func (b *Builder) slot(offset, size int) []byte {
	if missing := offset + size - len(b.data); missing > 0 {
		b.data = append(b.data, make([]byte, missing)...)
	}
	return b.data[offset : offset+size]
}

// SetBit puts a bit at a bit offset of the data section.
func (b *Builder) SetBit(offset int, value bool) {
	if slot := b.slot(offset/8, 1); value {
		slot[0] |= 1 << (offset % 8)
	}
}

// SetUint8 puts a byte at a byte offset of the data section.
func (b *Builder) SetUint8(offset int, value uint8) { b.slot(offset, 1)[0] = value }

// SetUint16 puts 16 bits at a byte offset of the data section.
func (b *Builder) SetUint16(offset int, value uint16) {
	binary.LittleEndian.PutUint16(b.slot(offset, 2), value)
}

// SetUint32 puts 32 bits at a byte offset of the data section.
func (b *Builder) SetUint32(offset int, value uint32) {
	binary.LittleEndian.PutUint32(b.slot(offset, 4), value)
}

// SetUint64 puts 64 bits at a byte offset of the data section.
func (b *Builder) SetUint64(offset int, value uint64) {
	binary.LittleEndian.PutUint64(b.slot(offset, 8), value)
}

func (b *Builder) setPointer(index int, to *object) {
	if missing := index + 1 - len(b.pointers); missing > 0 {
		b.pointers = append(b.pointers, make([]*object, missing)...)
	}
	b.pointers[index] = to
}

// size is words of data and number of pointers that remain when trailing zeroes are cut off.
func (b *Builder) size() (data, pointers int) {
	bytes := len(b.data)
	for bytes > 0 && b.data[bytes-1] == 0 {
		bytes--
	}
	pointers = len(b.pointers)
	for pointers > 0 && b.pointers[pointers-1] == nil {
		pointers--
	}
	return (bytes + 7) / 8, pointers
}

func build(r Record) (*Builder, error) {
	b := new(Builder)
	return b, r.WriteTo(b)
}

// segment is a message that grows. After an error it is of no use.
type segment struct {
	bytes         []byte
	emptyElements int
}

func layOut(root *object) ([]byte, error) {
	var s segment
	s.grow(1)
	if err := s.place(0, root, 0); err != nil {
		return nil, err
	}
	return s.bytes, nil
}

func (s *segment) words() int { return len(s.bytes) / 8 }

func (s *segment) grow(words int) { s.bytes = append(s.bytes, make([]byte, 8*words)...) }

func (s *segment) set(at int, word uint64) { binary.LittleEndian.PutUint64(s.bytes[8*at:], word) }

// place appends an object and everything it leads to, and sets the pointer in word at to it.
func (s *segment) place(at int, o *object, depth int) error {
	if depth >= maxDepth {
		return ErrEncodeTooDeep
	}
	start := s.words()
	offset := uint64(start - at - 1)
	if offset >= limit || o.count >= limit {
		return ErrEncodeTooLarge
	}
	switch o.kind {
	case kindStruct:
		b := o.structs[0]
		data, pointers := b.size()
		if data+pointers == 0 {
			// A struct without words would lie nowhere; by convention its pointer has the offset
			// -1, which tells it from a null pointer.
			s.set(at, 0xffff_fffc)
			return nil
		}
		s.set(at, offset<<2|structSize(data, pointers))
		s.copyStruct(b, data, pointers)
		return s.placePointers(start+data, b.pointers, depth)
	case kindStructs:
		return s.placeStructs(at, offset, o.structs, depth)
	case kindPointers:
		s.set(at, offset<<2|1|6<<32|uint64(len(o.pointers))<<35)
		s.grow(len(o.pointers))
		return s.placePointers(start, o.pointers, depth)
	default:
		s.set(at, offset<<2|1|o.elementSize<<32|uint64(o.count)<<35)
		s.bytes = append(s.bytes, o.scalars...)
		s.bytes = append(s.bytes, make([]byte, -len(s.bytes)&7)...)
		return nil
	}
}

// placeStructs lays out a list of structs: a tag word, all elements in the largest size that any of
// them needs, then what their pointers lead to.
func (s *segment) placeStructs(at int, offset uint64, structs []*Builder, depth int) error {
	var data, pointers int
	for _, b := range structs {
		d, p := b.size()
		data, pointers = max(data, d), max(pointers, p)
	}
	step := data + pointers
	if step == 0 {
		s.emptyElements += len(structs)
	}
	if s.emptyElements > maxEmptyElements || len(structs)*step >= limit {
		return ErrEncodeTooLarge
	}
	s.set(at, offset<<2|1|7<<32|uint64(len(structs)*step)<<35)
	tag := s.words()
	s.grow(1)
	s.set(tag, uint64(len(structs))<<2|structSize(data, pointers))
	for _, b := range structs {
		s.copyStruct(b, data, pointers)
	}
	for i, b := range structs {
		if err := s.placePointers(tag+1+i*step+data, b.pointers, depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) placePointers(first int, pointers []*object, depth int) error {
	for i, pointer := range pointers {
		if pointer == nil {
			continue
		}
		if err := s.place(first+i, pointer, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// copyStruct appends a struct's data, padded or cut to its size, and room for its pointers.
func (s *segment) copyStruct(b *Builder, data, pointers int) {
	bytes := b.data[:min(len(b.data), 8*data)]
	s.bytes = append(s.bytes, bytes...)
	s.bytes = append(s.bytes, make([]byte, 8*data-len(bytes))...)
	s.grow(pointers)
}

func structSize(data, pointers int) uint64 { return uint64(data)<<32 | uint64(pointers)<<48 }
