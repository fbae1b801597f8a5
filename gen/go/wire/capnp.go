// Package wire is what the generated plain structs share: canonical Cap'n Proto, and the rules of
// their JSON form (docs/schema.md).
//
// It is the twin of the Rust runtime in gen/rust/src/runtime.rs, which says what is in scope, what is
// refused and why. The Go library's own Canonicalize is not used: it leaves out the tag of lists of
// structs without pointers, so its bytes are not those of other implementations.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Record is a struct, or a group in the sections of one.
type Record interface {
	// WriteTo puts the members into b.
	WriteTo(b *Builder) error
	// ReadFrom takes the members from r. What the writer did not know is read as its default.
	ReadFrom(r Reader) error
}

// pointerTo is a pointer to T that is a Record.
type pointerTo[T any] interface {
	*T
	Record
}

// Marshal gives the one canonical encoding: a single segment without segment table.
func Marshal(r Record) ([]byte, error) {
	root, err := build(r)
	if err != nil {
		return nil, err
	}
	return layOut(&object{structs: []*Builder{root}})
}

// Unmarshal reads a message of one segment without segment table, canonical or not.
func Unmarshal(b []byte, r Record) error {
	message, err := newReceived(b)
	if err != nil {
		return err
	}
	root := pointer{message: message}
	if root.isNull() {
		return ErrMissingStruct
	}
	return root.read(r)
}

// UnmarshalCanonical reads a message and refuses any bytes that Marshal would not have written.
func UnmarshalCanonical(b []byte, r Record) error {
	if err := Unmarshal(b, r); err != nil {
		return err
	}
	if canonical, err := Marshal(r); err != nil || !bytes.Equal(canonical, b) {
		return ErrNotCanonical
	}
	return nil
}

// Codec says how text, data or a list is written and read. A null pointer reads as nothing.
type Codec[T any] struct {
	isEmpty func(T) bool
	build   func(T) (*object, error)
	parse   func(pointer) (T, error)
}

// Set sets a pointer, even if the value is empty.
func Set[T any](b *Builder, index int, codec Codec[T], value T) error {
	to, err := codec.build(value)
	if err != nil {
		return err
	}
	b.setPointer(index, to)
	return nil
}

// SetUnlessEmpty sets a pointer, or leaves it null if the value is empty.
func SetUnlessEmpty[T any](b *Builder, index int, codec Codec[T], value T) error {
	if codec.isEmpty(value) {
		return nil
	}
	return Set(b, index, codec, value)
}

// Get reads a pointer.
func Get[T any](r Reader, index int, codec Codec[T], value *T) error {
	return parse(r.pointer(index), codec, value)
}

func parse[T any](p pointer, codec Codec[T], value *T) (err error) {
	if p.isNull() {
		var empty T
		*value = empty
		return nil
	}
	*value, err = codec.parse(p)
	return err
}

// SetStruct sets a pointer to a struct.
func SetStruct(b *Builder, index int, r Record) error {
	child, err := build(r)
	if err != nil {
		return err
	}
	b.setPointer(index, &object{structs: []*Builder{child}})
	return nil
}

// GetStruct reads a struct that must be there.
func GetStruct(r Reader, index int, field string, value Record) error {
	p := r.pointer(index)
	if p.isNull() {
		return fmt.Errorf("%w: %s", ErrMissingStruct, field)
	}
	return p.read(value)
}

// GetOptionalStruct reads a struct, or gives nil if it is absent.
func GetOptionalStruct[T any, P pointerTo[T]](r Reader, index int) (*T, error) {
	p := r.pointer(index)
	if p.isNull() {
		return nil, nil
	}
	value := new(T)
	return value, p.read(P(value))
}

// Text is UTF-8.
var Text = Codec[string]{
	isEmpty: func(v string) bool { return v == "" },
	build: func(v string) (*object, error) {
		if !utf8.ValidString(v) {
			return nil, errors.New("text is not UTF-8")
		}
		return scalarList(8, len(v)+1, append([]byte(v), 0)), nil
	},
	parse: func(p pointer) (string, error) {
		b, _, err := p.scalars(8)
		if err != nil {
			return "", err
		}
		if len(b) == 0 || b[len(b)-1] != 0 {
			return "", ErrMissingNul
		}
		if b = b[:len(b)-1]; !utf8.Valid(b) {
			return "", ErrInvalidUTF8
		}
		return string(b), nil
	},
}

// Data is bytes.
var Data = Codec[[]byte]{
	isEmpty: isEmpty[byte],
	build:   func(v []byte) (*object, error) { return scalarList(8, len(v), v), nil },
	parse: func(p pointer) ([]byte, error) {
		b, _, err := p.scalars(8)
		if err != nil || len(b) == 0 {
			return nil, err
		}
		return bytes.Clone(b), nil
	},
}

func isEmpty[T any](v []T) bool { return len(v) == 0 }

func scalarList(bits int64, count int, b []byte) *object {
	return &object{kind: kindScalars, elementSize: elementSize(bits), count: count, scalars: b}
}

// Bools is the codec of a list of bits, eight to a byte, the first in its lowest bit.
var Bools = Codec[[]bool]{
	isEmpty: isEmpty[bool],
	build: func(values []bool) (*object, error) {
		b := make([]byte, (len(values)+7)/8)
		for i, value := range values {
			if value {
				b[i/8] |= 1 << (i % 8)
			}
		}
		return scalarList(1, len(values), b), nil
	},
	parse: func(p pointer) ([]bool, error) {
		b, count, err := p.scalars(1)
		if err != nil {
			return nil, err
		}
		var values []bool
		for i := range count {
			values = append(values, b[i/8]>>(i%8)&1 == 1)
		}
		return values, nil
	},
}

// integers is the codec of a list of integers.
func integers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64]() Codec[[]T] {
	size := binary.Size(T(0))
	bits := int64(8 * size)
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(values []T) (*object, error) {
			b, err := binary.Append(nil, binary.LittleEndian, values)
			return scalarList(bits, len(values), b), err
		},
		parse: func(p pointer) ([]T, error) {
			b, count, err := p.scalars(bits)
			if err != nil || count == 0 {
				return nil, err
			}
			values := make([]T, count)
			_, err = binary.Decode(b, binary.LittleEndian, values)
			return values, err
		},
	}
}

// Lists of integers.
var (
	Int8s   = integers[int8]()
	Int16s  = integers[int16]()
	Int32s  = integers[int32]()
	Int64s  = integers[int64]()
	Uint8s  = integers[uint8]()
	Uint16s = integers[uint16]()
	Uint32s = integers[uint32]()
	Uint64s = integers[uint64]()
)

// Enumeration is an enum: its name in the schema and its enumerants by ordinal.
type Enumeration[T ~string] struct {
	Name       string
	Enumerants []T
}

// Ordinal gives the ordinal of an enumerant.
func (e Enumeration[T]) Ordinal(value T) (uint16, error) {
	for ordinal, enumerant := range e.Enumerants {
		if enumerant == value {
			return uint16(ordinal), nil
		}
	}
	return 0, fmt.Errorf("%s has no enumerant %q", e.Name, string(value))
}

// Enumerant gives the enumerant of an ordinal. What a value nobody here knows means must not be
// guessed.
func (e Enumeration[T]) Enumerant(ordinal uint16) (T, error) {
	if int(ordinal) >= len(e.Enumerants) {
		return "", fmt.Errorf("%w: %s %d", ErrUnknownEnumerant, e.Name, ordinal)
	}
	return e.Enumerants[ordinal], nil
}

// Enums is the codec of a list of an enum.
func Enums[T ~string](of Enumeration[T]) Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(values []T) (*object, error) {
			ordinals, err := each(values, of.Ordinal)
			if err != nil {
				return nil, err
			}
			return Uint16s.build(ordinals)
		},
		parse: func(p pointer) ([]T, error) {
			ordinals, err := Uint16s.parse(p)
			if err != nil {
				return nil, err
			}
			return each(ordinals, of.Enumerant)
		},
	}
}

func each[A, B any](values []A, convert func(A) (B, error)) ([]B, error) {
	var converted []B
	for _, value := range values {
		c, err := convert(value)
		if err != nil {
			return nil, err
		}
		converted = append(converted, c)
	}
	return converted, nil
}

// List is the codec of a list of pointers. They are never null, so that an empty text in a list
// stays one.
func List[T any](element Codec[T]) Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(values []T) (*object, error) {
			pointers, err := each(values, element.build)
			return &object{kind: kindPointers, pointers: pointers, count: len(pointers)}, err
		},
		parse: func(p pointer) ([]T, error) {
			var values []T
			err := p.each(func(p pointer) error {
				var value T
				err := parse(p, element, &value)
				values = append(values, value)
				return err
			})
			return values, err
		},
	}
}

// Structs is the codec of a list of structs.
func Structs[T any, P pointerTo[T]]() Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(values []T) (*object, error) {
			structs, err := each(values, func(value T) (*Builder, error) { return build(P(&value)) })
			return &object{kind: kindStructs, structs: structs, count: len(structs)}, err
		},
		parse: func(p pointer) ([]T, error) {
			var values []T
			err := p.eachStruct(func(r Reader) error {
				var value T
				err := P(&value).ReadFrom(r)
				values = append(values, value)
				return err
			})
			return values, err
		},
	}
}

// UnknownMember says that a union has a member that this version of the schema does not know.
func UnknownMember(name string, discriminant uint16) error {
	return fmt.Errorf("%w: %s %d", ErrUnknownMember, name, discriminant)
}

// NoMember says that a union's value names no member that there is, or one that is nil.
func NoMember(name, which string) error {
	return fmt.Errorf("%s has no member %q", name, which)
}
