// Package bundle is the revocation bundle outside Cap'n Proto: the JSON that verifiers poll
// (notme-protocol §13.2) and the canonical CBOR that is signed (§13.3): definite lengths, shortest
// heads, keys ascending.
package bundle

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/notme/notme/gen/go/identityjson"
	"github.com/notme/notme/gen/go/wire"
)

// What can be wrong with a bundle.
var (
	// ErrDuplicateKeyID says that two keys have the same id.
	ErrDuplicateKeyID = errors.New("two keys have the same id")
	// ErrInvalidCBOR says that bytes are not the canonical CBOR of any bundle.
	ErrInvalidCBOR = errors.New("not the canonical CBOR of a bundle")
	// ErrInvalidText says that a key id is not UTF-8.
	ErrInvalidText = errors.New("key id is not UTF-8")
	// ErrInvalidTime says that issuedAt is negative, or more than 63 bits.
	ErrInvalidTime = errors.New("issuedAt is out of range")
)

// Document is a bundle whose JSON is that of /internal/ca-bundle, in which keys is an object.
type Document identityjson.CABundle

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	keys := make(map[string]wire.Base64, len(d.Keys))
	for _, key := range d.Keys {
		if !utf8.ValidString(key.Kid) {
			return nil, ErrInvalidText
		}
		keys[key.Kid] = key.PublicKey
	}
	var o wire.ObjectWriter
	wire.Put(&o, "epoch", wire.Uint64, d.Epoch)
	wire.Put(&o, "seqno", wire.Uint64, d.Seqno)
	wire.Put(&o, "keys", wire.Plain[map[string]wire.Base64](), keys)
	wire.Put(&o, "keyId", wire.Strings, d.KeyId)
	if d.PrevKeyId != "" {
		wire.Put(&o, "prevKeyId", wire.Strings, d.PrevKeyId)
	}
	wire.Put(&o, "issuedAt", wire.Int64, d.IssuedAt)
	wire.Put(&o, "signature", wire.Bytes, d.Signature)
	return o.Finish()
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Document) UnmarshalJSON(b []byte) error {
	*d = Document{}
	var keys map[string]*wire.Base64
	o := wire.ReadObject("CABundle", b)
	wire.Take(o, "epoch", wire.Uint64, &d.Epoch)
	wire.Take(o, "seqno", wire.Uint64, &d.Seqno)
	wire.Take(o, "keys", wire.Plain[map[string]*wire.Base64](), &keys)
	wire.Take(o, "keyId", wire.Strings, &d.KeyId)
	wire.TakeOptional(o, "prevKeyId", wire.Strings, &d.PrevKeyId)
	wire.Take(o, "issuedAt", wire.Int64, &d.IssuedAt)
	wire.Take(o, "signature", wire.Bytes, &d.Signature)
	for kid, key := range keys {
		if key == nil {
			return errors.New("CABundle.keys: null")
		}
		d.Keys = append(d.Keys, identityjson.KeyEntry{Kid: kid, PublicKey: *key})
	}
	slices.SortFunc(d.Keys, order)
	return o.Err()
}

// order sorts by length first, then bytewise: the order of the encodings of text.
func order(a, b identityjson.KeyEntry) int {
	return cmp.Or(cmp.Compare(len(a.Kid), len(b.Kid)), strings.Compare(a.Kid, b.Kid))
}

const (
	majorUnsigned = 0
	majorBytes    = 2
	majorText     = 3
	majorMap      = 5
)

// MarshalCBOR gives the bytes that are signed. The signature is not among them.
func MarshalCBOR(bundle *identityjson.CABundle) ([]byte, error) {
	if bundle.IssuedAt < 0 {
		return nil, ErrInvalidTime
	}
	keys := slices.Clone(bundle.Keys)
	slices.SortFunc(keys, order)
	for i, key := range keys {
		if i > 0 && keys[i-1].Kid == key.Kid {
			return nil, ErrDuplicateKeyID
		}
		if !utf8.ValidString(key.Kid) {
			return nil, ErrInvalidText
		}
	}
	if !utf8.ValidString(bundle.KeyId) || !utf8.ValidString(bundle.PrevKeyId) {
		return nil, ErrInvalidText
	}
	b := head(nil, majorMap, 6)
	b = head(head(b, majorUnsigned, 1), majorUnsigned, bundle.Epoch)
	b = head(head(b, majorUnsigned, 2), majorUnsigned, bundle.Seqno)
	b = head(head(b, majorUnsigned, 3), majorMap, uint64(len(keys)))
	for _, key := range keys {
		b = str(b, majorText, key.Kid)
		b = str(b, majorBytes, string(key.PublicKey))
	}
	b = str(head(b, majorUnsigned, 4), majorText, bundle.KeyId)
	b = str(head(b, majorUnsigned, 5), majorText, bundle.PrevKeyId)
	return head(head(b, majorUnsigned, 6), majorUnsigned, uint64(bundle.IssuedAt)), nil
}

func head(b []byte, major byte, value uint64) []byte {
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

func str(b []byte, major byte, value string) []byte {
	return append(head(b, major, uint64(len(value))), value...)
}

// UnmarshalCBOR reads what MarshalCBOR writes and nothing else. The signature is empty.
func UnmarshalCBOR(b []byte) (*identityjson.CABundle, error) {
	r := reader{rest: b}
	bundle := &identityjson.CABundle{}
	r.expect(majorMap, 6)
	r.expect(majorUnsigned, 1)
	bundle.Epoch = r.head(majorUnsigned)
	r.expect(majorUnsigned, 2)
	bundle.Seqno = r.head(majorUnsigned)
	r.expect(majorUnsigned, 3)
	for left := r.head(majorMap); left > 0 && !r.failed; left-- {
		key := identityjson.KeyEntry{Kid: r.text(), PublicKey: r.string(majorBytes)}
		// Strictly ascending, so that no id occurs twice.
		if n := len(bundle.Keys); n > 0 && order(bundle.Keys[n-1], key) >= 0 {
			r.failed = true
		}
		bundle.Keys = append(bundle.Keys, key)
	}
	r.expect(majorUnsigned, 4)
	bundle.KeyId = r.text()
	r.expect(majorUnsigned, 5)
	bundle.PrevKeyId = r.text()
	r.expect(majorUnsigned, 6)
	issuedAt := r.head(majorUnsigned)
	if r.failed || len(r.rest) > 0 {
		return nil, ErrInvalidCBOR
	}
	if issuedAt > math.MaxInt64 {
		return nil, ErrInvalidTime
	}
	bundle.IssuedAt = int64(issuedAt)
	return bundle, nil
}

// reader reads items one after the other. Once it failed, it gives nothing but zeroes.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) expect(major byte, value uint64) {
	if r.head(major) != value {
		r.failed = true
	}
}

// head gives the argument of an item's head, which must be the shortest for its value.
func (r *reader) head(major byte) uint64 {
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
	if value < least {
		r.failed = true
	}
	return value
}

func (r *reader) string(major byte) []byte {
	b := r.take(r.head(major))
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}

func (r *reader) text() string {
	b := r.string(majorText)
	if !utf8.Valid(b) {
		r.failed = true
	}
	return string(b)
}
