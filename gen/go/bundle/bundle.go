// Package bundle is the revocation bundle outside Cap'n Proto: the JSON that verifiers poll
// (notme-protocol §13.2) and the canonical CBOR that is signed (§13.3): definite lengths, shortest
// heads, keys ascending.
package bundle

import (
	"cmp"
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
	b := wire.AppendMap(nil, 6)
	b = wire.AppendUint(wire.AppendUint(b, 1), bundle.Epoch)
	b = wire.AppendUint(wire.AppendUint(b, 2), bundle.Seqno)
	b = wire.AppendMap(wire.AppendUint(b, 3), len(keys))
	for _, key := range keys {
		b = wire.AppendBytes(wire.AppendText(b, key.Kid), key.PublicKey)
	}
	b = wire.AppendText(wire.AppendUint(b, 4), bundle.KeyId)
	b = wire.AppendText(wire.AppendUint(b, 5), bundle.PrevKeyId)
	return wire.AppendUint(wire.AppendUint(b, 6), uint64(bundle.IssuedAt)), nil
}

// UnmarshalCBOR reads what MarshalCBOR writes and nothing else. The signature is empty.
func UnmarshalCBOR(b []byte) (*identityjson.CABundle, error) {
	r := wire.NewCBORReader(b)
	bundle := &identityjson.CABundle{}
	r.Expect(r.Map() == 6)
	r.Expect(r.Uint() == 1)
	bundle.Epoch = r.Uint()
	r.Expect(r.Uint() == 2)
	bundle.Seqno = r.Uint()
	r.Expect(r.Uint() == 3)
	for left := r.Map(); left > 0 && r.OK(); left-- {
		key := identityjson.KeyEntry{Kid: r.Text(), PublicKey: r.Bytes()}
		// Strictly ascending, so that no id occurs twice.
		n := len(bundle.Keys)
		r.Expect(n == 0 || order(bundle.Keys[n-1], key) < 0)
		bundle.Keys = append(bundle.Keys, key)
	}
	r.Expect(r.Uint() == 4)
	bundle.KeyId = r.Text()
	r.Expect(r.Uint() == 5)
	bundle.PrevKeyId = r.Text()
	r.Expect(r.Uint() == 6)
	issuedAt := r.Uint()
	if !r.Finish() {
		return nil, ErrInvalidCBOR
	}
	if issuedAt > math.MaxInt64 {
		return nil, ErrInvalidTime
	}
	bundle.IssuedAt = int64(issuedAt)
	return bundle, nil
}
