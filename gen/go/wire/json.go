package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxSafeInteger is the largest integer that a JSON number carries without loss in every language.
const maxSafeInteger = 1<<53 - 1

var errUnsafe = errors.New("unsafe integer")

// SafeUint64 is a JSON number that is a safe integer, or refused.
type SafeUint64 uint64

// MarshalJSON implements json.Marshaler.
func (v SafeUint64) MarshalJSON() ([]byte, error) {
	if v > maxSafeInteger {
		return nil, errUnsafe
	}
	return json.Marshal(uint64(v))
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *SafeUint64) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*uint64)(v)); err != nil {
		return err
	}
	if *v > maxSafeInteger {
		return errUnsafe
	}
	return nil
}

// SafeInt64 is a JSON number that is a safe integer, or refused.
type SafeInt64 int64

// MarshalJSON implements json.Marshaler.
func (v SafeInt64) MarshalJSON() ([]byte, error) {
	if v > maxSafeInteger || v < -maxSafeInteger {
		return nil, errUnsafe
	}
	return json.Marshal(int64(v))
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *SafeInt64) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*int64)(v)); err != nil {
		return err
	}
	if *v > maxSafeInteger || *v < -maxSafeInteger {
		return errUnsafe
	}
	return nil
}

// String is text that is UTF-8; the standard library would quietly replace what is not.
type String string

// MarshalJSON implements json.Marshaler.
func (v String) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(string(v)) {
		return nil, errors.New("text is not UTF-8")
	}
	return json.Marshal(string(v))
}

// Base64 is standard base64 with padding, without line breaks and spare bits.
type Base64 []byte

// MarshalJSON implements json.Marshaler.
func (v Base64) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(v))
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Base64) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return err
	}
	// The decoder skips line breaks.
	if base64.StdEncoding.EncodeToString(decoded) != text {
		return errors.New("not standard base64")
	}
	*v = nil
	if len(decoded) > 0 {
		*v = decoded
	}
	return nil
}

// Form converts between a type and the one that has its JSON form.
type Form[T any] struct {
	marshal   func(T) ([]byte, error)
	unmarshal func([]byte, *T) error
}

// Plain is the form of a type that has its own.
func Plain[T any]() Form[T] {
	return Form[T]{
		marshal:   func(v T) ([]byte, error) { return json.Marshal(v) },
		unmarshal: func(b []byte, v *T) error { return json.Unmarshal(b, v) },
	}
}

// Strings is the form of text.
var Strings = Form[string]{
	marshal:   func(v string) ([]byte, error) { return json.Marshal(String(v)) },
	unmarshal: func(b []byte, v *string) error { return json.Unmarshal(b, v) },
}

// Uint64 is the form of an unsigned integer of 64 bits.
var Uint64 = Form[uint64]{
	marshal:   func(v uint64) ([]byte, error) { return json.Marshal(SafeUint64(v)) },
	unmarshal: func(b []byte, v *uint64) error { return json.Unmarshal(b, (*SafeUint64)(v)) },
}

// Int64 is the form of a signed integer of 64 bits.
var Int64 = Form[int64]{
	marshal:   func(v int64) ([]byte, error) { return json.Marshal(SafeInt64(v)) },
	unmarshal: func(b []byte, v *int64) error { return json.Unmarshal(b, (*SafeInt64)(v)) },
}

// Bytes is the form of data.
var Bytes = Form[[]byte]{
	marshal:   func(v []byte) ([]byte, error) { return json.Marshal(Base64(v)) },
	unmarshal: func(b []byte, v *[]byte) error { return json.Unmarshal(b, (*Base64)(v)) },
}

// Enumerant is the form of an enum: a name that the schema knows.
func Enumerant[T ~string](of Enumeration[T]) Form[T] {
	return Form[T]{
		marshal: func(v T) ([]byte, error) {
			if _, err := of.Ordinal(v); err != nil {
				return nil, err
			}
			return json.Marshal(string(v))
		},
		unmarshal: func(b []byte, v *T) error {
			var name string
			if err := json.Unmarshal(b, &name); err != nil {
				return err
			}
			*v = T(name)
			_, err := of.Ordinal(*v)
			return err
		},
	}
}

// Array is the form of a list, whose elements are never null.
func Array[T any](element Form[T]) Form[[]T] {
	return Form[[]T]{
		marshal: func(values []T) ([]byte, error) {
			raw := []json.RawMessage{}
			for _, value := range values {
				b, err := element.marshal(value)
				if err != nil {
					return nil, err
				}
				raw = append(raw, b)
			}
			return json.Marshal(raw)
		},
		unmarshal: func(b []byte, values *[]T) error {
			var raw []json.RawMessage
			if err := json.Unmarshal(b, &raw); err != nil {
				return err
			}
			*values = nil
			for _, b := range raw {
				var value T
				if err := unmarshal(element, b, &value); err != nil {
					return err
				}
				*values = append(*values, value)
			}
			return nil
		},
	}
}

var null = []byte("null")

// unmarshal refuses null, which the standard library reads as nothing at all.
func unmarshal[T any](form Form[T], b []byte, value *T) error {
	if bytes.Equal(b, null) {
		return errors.New("null")
	}
	return form.unmarshal(b, value)
}

// ObjectWriter collects the members of an object in their order.
type ObjectWriter struct {
	buffer bytes.Buffer
	err    error
}

// Put adds a member.
func Put[T any](o *ObjectWriter, name string, form Form[T], value T) {
	b, err := form.marshal(value)
	o.raw(name, b, err)
}

// PutNull adds the member of a union that has no value.
func PutNull(o *ObjectWriter, name string) {
	o.raw(name, null, nil)
}

func (o *ObjectWriter) raw(name string, b []byte, err error) {
	if err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("%s: %w", name, err))
		return
	}
	o.buffer.WriteByte("{,"[min(o.buffer.Len(), 1)])
	key, _ := json.Marshal(name) // Names are ASCII.
	o.buffer.Write(key)
	o.buffer.WriteByte(':')
	o.buffer.Write(b)
}

// Finish gives the object.
func (o *ObjectWriter) Finish() ([]byte, error) {
	if o.buffer.Len() == 0 {
		o.buffer.WriteByte('{')
	}
	o.buffer.WriteByte('}')
	return o.buffer.Bytes(), o.err
}

// ObjectReader gives the members of an object. Names must agree exactly; others are ignored.
type ObjectReader struct {
	name    string
	members map[string]json.RawMessage
	err     error
}

// ReadObject begins to read the JSON form of the struct of this name.
func ReadObject(name string, b []byte) *ObjectReader {
	o := &ObjectReader{name: name}
	o.err = json.Unmarshal(b, &o.members)
	if o.err == nil && o.members == nil {
		o.err = fmt.Errorf("%s: null", name)
	}
	return o
}

// Take reads a member that must be there.
func Take[T any](o *ObjectReader, name string, form Form[T], value *T) {
	if _, present := o.members[name]; !present {
		o.fail(name, errors.New("missing"))
		return
	}
	TakeOptional(o, name, form, value)
}

// TakeOptional reads a member if it is there.
func TakeOptional[T any](o *ObjectReader, name string, form Form[T], value *T) {
	if b, present := o.members[name]; present {
		if err := unmarshal(form, b, value); err != nil {
			o.fail(name, err)
		}
	}
}

// TakePointer reads a member if it is there, and leaves nil if not.
func TakePointer[T any](o *ObjectReader, name string, value **T) {
	*value = nil
	if _, present := o.members[name]; present {
		*value = new(T)
		TakeOptional(o, name, Plain[T](), *value)
	}
}

// TakeNull reads the member of a union that has no value.
func TakeNull(o *ObjectReader, name string) {
	if !bytes.Equal(o.members[name], null) {
		o.fail(name, errors.New("not null"))
	}
}

// Which gives the one member of a union that is there.
func Which[W ~string](o *ObjectReader, members ...W) W {
	var which W
	count := 0
	for _, member := range members {
		if _, present := o.members[string(member)]; present {
			which = member
			count++
		}
	}
	if count != 1 {
		o.fail("", fmt.Errorf("needs exactly one of %v", members))
	}
	return which
}

// Err says what was wrong first.
func (o *ObjectReader) Err() error { return o.err }

func (o *ObjectReader) fail(name string, err error) {
	if o.err == nil {
		o.err = fmt.Errorf("%s.%s: %w", o.name, name, err)
	}
}
