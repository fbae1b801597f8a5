// Package wire is what the generated plain structs share: canonical Cap'n Proto on top of the Go
// library, and the rules of their JSON form (docs/schema.md).
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"capnproto.org/go/capnp/v3"
)

// maxEmptyElements is how many elements without any bytes of their own one message may hold.
const maxEmptyElements = 65_536

// ErrNotCanonical says that bytes are not the canonical message of the value in them.
var ErrNotCanonical = errors.New("not in canonical form")

// ErrMalformed says that bytes are not a message of the expected struct.
var ErrMalformed = errors.New("malformed message")

// Record is a struct, or a group in the sections of one.
type Record interface {
	// Size is the size of the struct.
	Size() capnp.ObjectSize
	// WriteTo sets the members of s.
	WriteTo(s capnp.Struct) error
	// ReadFrom takes the members from s.
	ReadFrom(s capnp.Struct) error
}

// pointerTo is a pointer to T that is a Record.
type pointerTo[T any] interface {
	*T
	Record
}

// Marshal gives the one canonical encoding: a single segment without segment table.
func Marshal(r Record) ([]byte, error) {
	message, segment := capnp.NewSingleSegmentMessage(nil)
	// The library's default of 64 MiB is for messages from others.
	message.ResetReadLimit(1 << 62)
	root, err := capnp.NewRootStruct(segment, r.Size())
	if err != nil {
		return nil, err
	}
	if err := r.WriteTo(root); err != nil {
		return nil, err
	}
	// A root that is all default is not the null pointer that the library makes of it.
	return capnp.Canonicalize(root)
}

// Unmarshal reads a message of one segment without segment table, canonical or not.
func Unmarshal(b []byte, r Record) error {
	if len(b) == 0 || len(b)%8 != 0 {
		return fmt.Errorf("%w: length is not a positive multiple of eight", ErrMalformed)
	}
	limit := uint64(len(b) + 8*maxEmptyElements)
	message := &capnp.Message{Arena: capnp.SingleSegment(b), TraverseLimit: limit}
	pointer, err := message.Root()
	if err != nil {
		return errors.Join(ErrMalformed, err)
	}
	root := pointer.Struct()
	if !root.IsValid() {
		return fmt.Errorf("%w: no struct at the root", ErrMalformed)
	}
	return r.ReadFrom(root)
}

// UnmarshalCanonical reads a message and refuses any bytes that Marshal would not have written.
func UnmarshalCanonical(b []byte, r Record) error {
	if err := Unmarshal(b, r); err != nil {
		return err
	}
	canonical, err := Marshal(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(canonical, b) {
		return ErrNotCanonical
	}
	return nil
}

// Codec says how text, data or a list is written and read. A null pointer reads as nothing.
type Codec[T any] struct {
	isEmpty func(T) bool
	build   func(*capnp.Segment, T) (capnp.Ptr, error)
	parse   func(capnp.Ptr) (T, error)
}

// Set sets a pointer, even if the value is empty.
func Set[T any](s capnp.Struct, index uint16, codec Codec[T], value T) error {
	pointer, err := codec.build(s.Segment(), value)
	if err != nil {
		return err
	}
	return s.SetPtr(index, pointer)
}

// SetUnlessEmpty sets a pointer, or leaves it null if the value is empty.
func SetUnlessEmpty[T any](s capnp.Struct, index uint16, codec Codec[T], value T) error {
	if codec.isEmpty(value) {
		return nil
	}
	return Set(s, index, codec, value)
}

// Get reads a pointer.
func Get[T any](s capnp.Struct, index uint16, codec Codec[T], value *T) error {
	pointer, err := s.Ptr(index)
	if err != nil {
		return errors.Join(ErrMalformed, err)
	}
	if !pointer.IsValid() {
		var empty T
		*value = empty
		return nil
	}
	*value, err = codec.parse(pointer)
	return err
}

// SetStruct sets a pointer to a struct.
func SetStruct(s capnp.Struct, index uint16, r Record) error {
	child, err := capnp.NewStruct(s.Segment(), r.Size())
	if err != nil {
		return err
	}
	if err := r.WriteTo(child); err != nil {
		return err
	}
	return s.SetPtr(index, child.ToPtr())
}

// GetStruct reads a struct that must be there.
func GetStruct(s capnp.Struct, index uint16, field string, r Record) error {
	present, err := getStruct(s, index, r)
	if err == nil && !present {
		err = fmt.Errorf("%w: %s is missing", ErrMalformed, field)
	}
	return err
}

// GetOptionalStruct reads a struct, or gives nil if it is absent.
func GetOptionalStruct[T any, P pointerTo[T]](s capnp.Struct, index uint16) (*T, error) {
	value := new(T)
	present, err := getStruct(s, index, P(value))
	if err != nil || !present {
		return nil, err
	}
	return value, nil
}

func getStruct(s capnp.Struct, index uint16, r Record) (bool, error) {
	pointer, err := s.Ptr(index)
	if err != nil {
		return false, errors.Join(ErrMalformed, err)
	}
	if !pointer.IsValid() {
		return false, nil
	}
	child := pointer.Struct()
	if !child.IsValid() {
		return false, wrongKind("struct")
	}
	return true, r.ReadFrom(child)
}

// Text is UTF-8.
var Text = Codec[string]{
	isEmpty: func(v string) bool { return v == "" },
	build: func(segment *capnp.Segment, v string) (capnp.Ptr, error) {
		if !utf8.ValidString(v) {
			return capnp.Ptr{}, errors.New("text is not UTF-8")
		}
		text, err := capnp.NewText(segment, v)
		return text.ToPtr(), err
	},
	parse: func(pointer capnp.Ptr) (string, error) {
		b, err := byteList(pointer)
		if err != nil {
			return "", err
		}
		if len(b) == 0 || b[len(b)-1] != 0 {
			return "", fmt.Errorf("%w: text does not end in a zero byte", ErrMalformed)
		}
		if b = b[:len(b)-1]; !utf8.Valid(b) {
			return "", fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
		}
		return string(b), nil
	},
}

// Data is bytes.
var Data = Codec[[]byte]{
	isEmpty: isEmpty[byte],
	build: func(segment *capnp.Segment, v []byte) (capnp.Ptr, error) {
		data, err := capnp.NewData(segment, v)
		return data.ToPtr(), err
	},
	parse: func(pointer capnp.Ptr) ([]byte, error) {
		b, err := byteList(pointer)
		if err != nil || len(b) == 0 {
			return nil, err
		}
		return bytes.Clone(b), nil
	},
}

// byteList gives the bytes of a list of bytes. The library answers with the default to any other
// kind of object.
func byteList(pointer capnp.Ptr) ([]byte, error) {
	marker := []byte{0}
	b := pointer.DataDefault(marker)
	if len(b) == 1 && &b[0] == &marker[0] {
		return nil, wrongKind("list of bytes")
	}
	return b, nil
}

func wrongKind(expected string) error {
	return fmt.Errorf("%w: pointer to something else than a %s", ErrMalformed, expected)
}

func isEmpty[T any](v []T) bool { return len(v) == 0 }

// scalarList is a list type of the library.
type scalarList[T any] interface {
	~capnp.ListKind
	Len() int
	At(int) T
	Set(int, T)
	ToPtr() capnp.Ptr
}

// scalars is the codec of a list of integers or bits.
func scalars[T any, L scalarList[T]](create func(*capnp.Segment, int32) (L, error)) Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(segment *capnp.Segment, values []T) (capnp.Ptr, error) {
			list, err := create(segment, int32(len(values)))
			if err != nil {
				return capnp.Ptr{}, err
			}
			for i, value := range values {
				list.Set(i, value)
			}
			return list.ToPtr(), nil
		},
		parse: func(pointer capnp.Ptr) ([]T, error) {
			if !pointer.List().IsValid() {
				return nil, wrongKind("list")
			}
			list := L(pointer.List())
			var values []T
			for i := range list.Len() {
				values = append(values, list.At(i))
			}
			return values, nil
		},
	}
}

// Lists of bits and integers.
var (
	Bools   = scalars[bool](capnp.NewBitList)
	Int8s   = scalars[int8](capnp.NewInt8List)
	Int16s  = scalars[int16](capnp.NewInt16List)
	Int32s  = scalars[int32](capnp.NewInt32List)
	Int64s  = scalars[int64](capnp.NewInt64List)
	Uint8s  = scalars[uint8](capnp.NewUInt8List)
	Uint16s = scalars[uint16](capnp.NewUInt16List)
	Uint32s = scalars[uint32](capnp.NewUInt32List)
	Uint64s = scalars[uint64](capnp.NewUInt64List)
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
		return "", fmt.Errorf("%w: %s has no enumerant %d", ErrMalformed, e.Name, ordinal)
	}
	return e.Enumerants[ordinal], nil
}

// Enums is the codec of a list of an enum.
func Enums[T ~string](of Enumeration[T]) Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(segment *capnp.Segment, values []T) (capnp.Ptr, error) {
			ordinals, err := each(values, of.Ordinal)
			if err != nil {
				return capnp.Ptr{}, err
			}
			return Uint16s.build(segment, ordinals)
		},
		parse: func(pointer capnp.Ptr) ([]T, error) {
			ordinals, err := Uint16s.parse(pointer)
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
		build: func(segment *capnp.Segment, values []T) (capnp.Ptr, error) {
			list, err := capnp.NewPointerList(segment, int32(len(values)))
			if err != nil {
				return capnp.Ptr{}, err
			}
			for i, value := range values {
				pointer, err := element.build(segment, value)
				if err != nil {
					return capnp.Ptr{}, err
				}
				if err := list.Set(i, pointer); err != nil {
					return capnp.Ptr{}, err
				}
			}
			return list.ToPtr(), nil
		},
		parse: func(pointer capnp.Ptr) ([]T, error) {
			if !pointer.List().IsValid() {
				return nil, wrongKind("list")
			}
			list := capnp.PointerList(pointer.List())
			var values []T
			for i := range list.Len() {
				pointer, err := list.At(i)
				if err != nil {
					return nil, errors.Join(ErrMalformed, err)
				}
				var value T
				if pointer.IsValid() {
					if value, err = element.parse(pointer); err != nil {
						return nil, err
					}
				}
				values = append(values, value)
			}
			return values, nil
		},
	}
}

// Structs is the codec of a list of structs.
func Structs[T any, P pointerTo[T]]() Codec[[]T] {
	return Codec[[]T]{
		isEmpty: isEmpty[T],
		build: func(segment *capnp.Segment, values []T) (capnp.Ptr, error) {
			size := P(new(T)).Size()
			list, err := capnp.NewCompositeList(segment, size, int32(len(values)))
			if err != nil {
				return capnp.Ptr{}, err
			}
			for i := range values {
				if err := P(&values[i]).WriteTo(list.Struct(i)); err != nil {
					return capnp.Ptr{}, err
				}
			}
			return list.ToPtr(), nil
		},
		parse: func(pointer capnp.Ptr) ([]T, error) {
			list := pointer.List()
			if !list.IsValid() {
				return nil, wrongKind("list")
			}
			var values []T
			for i := range list.Len() {
				var value T
				if err := P(&value).ReadFrom(list.Struct(i)); err != nil {
					return nil, err
				}
				values = append(values, value)
			}
			return values, nil
		},
	}
}

// UnknownMember says that a union has a member that this version of the schema does not know.
func UnknownMember(name string, discriminant uint16) error {
	return fmt.Errorf("%w: %s has no member %d", ErrMalformed, name, discriminant)
}

// NoMember says that a union's value names no member that there is.
func NoMember(name, which string) error {
	return fmt.Errorf("%s has no member %q", name, which)
}
