package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// What is wrong with bytes that are not a message of the expected struct.
var (
	ErrInvalidUTF8        = errors.New("text is not UTF-8")
	ErrMissingNul         = errors.New("text does not end in a zero byte")
	ErrMissingStruct      = errors.New("struct is missing")
	ErrNotCanonical       = errors.New("not in canonical form")
	ErrOutOfBounds        = errors.New("pointer leads outside the message")
	ErrTooDeep            = errors.New("nested too deeply")
	ErrTooMuch            = errors.New("pointers overlap or claim too many elements")
	ErrTruncated          = errors.New("length is not a positive multiple of eight")
	ErrUnknownEnumerant   = errors.New("unknown enumerant")
	ErrUnknownMember      = errors.New("unknown member of a union")
	ErrUnsupportedPointer = errors.New("far pointer or capability")
	ErrWrongKind          = errors.New("pointer to another kind of object")
)

// received is a message and how much of it may still be read.
type received struct {
	bytes []byte
	// wordsLeft may still be visited: a message is a tree, so no word is visited twice.
	wordsLeft         int
	emptyElementsLeft int
}

func newReceived(b []byte) (*received, error) {
	if len(b) == 0 || len(b)%8 != 0 {
		return nil, ErrTruncated
	}
	return &received{bytes: b, wordsLeft: len(b)/8 - 1, emptyElementsLeft: maxEmptyElements}, nil
}

// take checks that count words from word start are there, and pays for them.
func (m *received) take(start, count int64) error {
	if start < 0 || count > int64(len(m.bytes)/8)-start {
		return ErrOutOfBounds
	}
	if m.wordsLeft -= int(count); m.wordsLeft < 0 {
		return ErrTooMuch
	}
	return nil
}

func (m *received) payForEmpty(count int64) error {
	if count > int64(m.emptyElementsLeft) {
		return ErrTooMuch
	}
	m.emptyElementsLeft -= int(count)
	return nil
}

func (m *received) word(at int64) uint64 { return binary.LittleEndian.Uint64(m.bytes[8*at:]) }

// Reader holds the members of a struct that was received.
type Reader struct {
	message  *received
	start    int64
	data     int64
	pointers int64
	depth    int
}

// bytes gives bytes of the data section, zeroes if the writer's struct was shorter.
func (r Reader) bytes(offset, size int) []byte {
	if int64(offset+size) > 8*r.data {
		return make([]byte, size)
	}
	at := 8*int(r.start) + offset
	return r.message.bytes[at : at+size]
}

// Bit gives the bit at a bit offset of the data section.
func (r Reader) Bit(offset int) bool { return r.Uint8(offset/8)>>(offset%8)&1 == 1 }

// Uint8 gives the byte at a byte offset of the data section.
func (r Reader) Uint8(offset int) uint8 { return r.bytes(offset, 1)[0] }

// Uint16 gives 16 bits at a byte offset of the data section.
func (r Reader) Uint16(offset int) uint16 { return binary.LittleEndian.Uint16(r.bytes(offset, 2)) }

// Uint32 gives 32 bits at a byte offset of the data section.
func (r Reader) Uint32(offset int) uint32 { return binary.LittleEndian.Uint32(r.bytes(offset, 4)) }

// Uint64 gives 64 bits at a byte offset of the data section.
func (r Reader) Uint64(offset int) uint64 { return binary.LittleEndian.Uint64(r.bytes(offset, 8)) }

// pointer gives a pointer, a null one if the writer's struct was shorter.
func (r Reader) pointer(index int) pointer {
	if int64(index) >= r.pointers {
		return pointer{}
	}
	return pointer{message: r.message, at: r.start + r.data + int64(index), depth: r.depth}
}

// pointer is a pointer that was received; without a message, a null pointer.
type pointer struct {
	message *received
	at      int64
	// depth is how many pointers were followed to get here.
	depth int
}

func (p pointer) isNull() bool { return p.message == nil || p.message.word(p.at) == 0 }

// follow gives the pointer, which is not null, and the start of what it leads to.
func (p pointer) follow(kind uint64) (word uint64, start int64, err error) {
	word = p.message.word(p.at)
	switch {
	case word&2 != 0:
		return 0, 0, ErrUnsupportedPointer
	case p.depth >= maxDepth:
		return 0, 0, ErrTooDeep
	case word&3 != kind:
		return 0, 0, ErrWrongKind
	}
	return word, p.at + 1 + int64(int32(word)>>2), nil
}

// read reads the struct that a pointer, which is not null, leads to.
func (p pointer) read(r Record) error {
	word, start, err := p.follow(0)
	if err != nil {
		return err
	}
	data, pointers := sizes(word)
	if err := p.message.take(start, data+pointers); err != nil {
		return err
	}
	return r.ReadFrom(Reader{p.message, start, data, pointers, p.depth + 1})
}

// list gives the start and count of a list whose elements have the size of this code.
func (p pointer) list(elementSize uint64) (start, count int64, err error) {
	if p.isNull() {
		return 0, 0, nil
	}
	word, start, err := p.follow(1)
	if err != nil {
		return 0, 0, err
	}
	if word>>32&7 != elementSize {
		return 0, 0, ErrWrongKind
	}
	return start, int64(word >> 35), nil
}

// scalars gives the bytes of a list of count elements of this many bits.
func (p pointer) scalars(bits int64) (b []byte, count int64, err error) {
	start, count, err := p.list(elementSize(bits))
	if err != nil {
		return nil, 0, err
	}
	if err := p.message.take(start, (count*bits+63)/64); err != nil {
		return nil, 0, err
	}
	at := 8 * start
	return p.message.bytes[at : at+(count*bits+7)/8], count, nil
}

// list of pointers.
func (p pointer) each(visit func(pointer) error) error {
	start, count, err := p.list(6)
	if err != nil {
		return err
	}
	if err := p.message.take(start, count); err != nil {
		return err
	}
	for at := start; at < start+count; at++ {
		if err := visit(pointer{p.message, at, p.depth + 1}); err != nil {
			return err
		}
	}
	return nil
}

// list of structs.
func (p pointer) eachStruct(visit func(Reader) error) error {
	start, words, err := p.list(7)
	if err != nil {
		return err
	}
	// The tag has the form of a struct pointer whose offset is the number of elements.
	if err := p.message.take(start, 1); err != nil {
		return err
	}
	tag := p.message.word(start)
	if tag&3 != 0 {
		return ErrWrongKind
	}
	count := int64(uint32(tag) >> 2)
	data, pointers := sizes(tag)
	step := data + pointers
	if count*step > words {
		return ErrOutOfBounds
	}
	// What the elements leave unused is paid for as well.
	if err := p.message.take(start+1, words); err != nil {
		return err
	}
	if step == 0 {
		if err := p.message.payForEmpty(count); err != nil {
			return err
		}
	}
	for i := range count {
		if err := visit(Reader{p.message, start + 1 + i*step, data, pointers, p.depth + 1}); err != nil {
			return err
		}
	}
	return nil
}

// sizes gives words of data and number of pointers, from the upper half of a struct pointer.
func sizes(word uint64) (data, pointers int64) {
	return int64(word >> 32 & math.MaxUint16), int64(word >> 48)
}

// elementSize is the code of a list of elements of this many bits.
func elementSize(bits int64) uint64 {
	switch bits {
	case 1:
		return 1
	case 8:
		return 2
	case 16:
		return 3
	case 32:
		return 4
	default:
		return 5
	}
}
