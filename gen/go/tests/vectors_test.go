// Package tests holds every Go encoder to the vectors of schema/fixtures, whose expected bytes come
// from foreign tools.
package tests

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"capnproto.org/go/capnp/v3"

	"github.com/notme/notme/gen/go/bundle"
	"github.com/notme/notme/gen/go/conformancejson"
	"github.com/notme/notme/gen/go/identity"
	"github.com/notme/notme/gen/go/identityjson"
	"github.com/notme/notme/gen/go/receipt"
	"github.com/notme/notme/gen/go/wire"
)

// message is a plain struct.
type message interface {
	wire.Record
	MarshalCapnp() ([]byte, error)
	UnmarshalCapnp([]byte) error
	UnmarshalCanonicalCapnp([]byte) error
}

// structs has a fresh value of every struct by its name in the schema.
var structs = map[string]func() message{
	"CABundle":           func() message { return new(identityjson.CABundle) },
	"KeyEntry":           func() message { return new(identityjson.KeyEntry) },
	"TokenClaims":        func() message { return new(identityjson.TokenClaims) },
	"RevocationResult":   func() message { return new(identityjson.RevocationResult) },
	"BridgeCertResult":   func() message { return new(identityjson.BridgeCertResult) },
	"BridgeCertPair":     func() message { return new(identityjson.BridgeCertPair) },
	"AuthorityState":     func() message { return new(identityjson.AuthorityState) },
	"CertPairRequest":    func() message { return new(identityjson.CertPairRequest) },
	"CertPairPublicKeys": func() message { return new(identityjson.CertPairPublicKeys) },
	"CertPairPoP":        func() message { return new(identityjson.CertPairPoP) },
	"CertRequest":        func() message { return new(identityjson.CertRequest) },
	"Proof":              func() message { return new(identityjson.Proof) },
	"GHAClaims":          func() message { return new(identityjson.GHAClaims) },
	"DispatchPredicate":  func() message { return new(identityjson.DispatchPredicate) },
	"BeadRef":            func() message { return new(identityjson.BeadRef) },
	"AgentIdentity":      func() message { return new(identityjson.AgentIdentity) },
	"PipelineContext":    func() message { return new(identityjson.PipelineContext) },
	"HandoffPredicate":   func() message { return new(identityjson.HandoffPredicate) },
	"SignRequest":        func() message { return new(identityjson.SignRequest) },
	"SignResponse":       func() message { return new(identityjson.SignResponse) },
	"OraclePublicKey":    func() message { return new(identityjson.OraclePublicKey) },
	"OracleInfo":         func() message { return new(identityjson.OracleInfo) },
	"Scalars":            func() message { return new(conformancejson.Scalars) },
	"Defaults":           func() message { return new(conformancejson.Defaults) },
	"Lists":              func() message { return new(conformancejson.Lists) },
	"Shape":              func() message { return new(conformancejson.Shape) },
	"Node":               func() message { return new(conformancejson.Node) },
	"Choice":             func() message { return new(conformancejson.Choice) },
}

// largest has the values whose integers JSON does not carry.
var largest = map[string]message{
	"cabundle-smallest": &identityjson.CABundle{KeyId: "k", IssuedAt: math.MinInt64},
	"cabundle-largest": &identityjson.CABundle{
		Epoch: math.MaxUint64, Seqno: math.MaxUint64, KeyId: "k", IssuedAt: math.MaxInt64,
	},
	"scalars-largest": &conformancejson.Scalars{
		Large: math.MinInt64, LargeUnsigned: math.MaxUint64, Colour: conformancejson.ColourRed,
	},
	"lists-largest": &conformancejson.Lists{
		Large: []int64{math.MinInt64, math.MaxInt64}, LargeUnsigned: []uint64{math.MaxUint64},
	},
	"choice-largest": &conformancejson.Choice{
		Which: conformancejson.ChoiceWhichLargeUnsigned, LargeUnsigned: math.MaxUint64,
	},
}

func fixture[V any](t *testing.T, name string) []V {
	t.Helper()
	b, err := os.ReadFile("../../../schema/fixtures/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []V }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return file.Vectors
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newStruct(t *testing.T, name string) message {
	t.Helper()
	create := structs[name]
	if create == nil {
		t.Fatalf("no struct %s", name)
	}
	return create()
}

// sameJSON compares what the members are, whatever their order.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, text := range [][]byte{a, b} {
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		if err := decoder.Decode(&values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func TestVectors(t *testing.T) {
	type vector struct {
		Name, Struct, Capnp string
		JSON                *json.RawMessage
	}
	for _, file := range []string{"identity", "conformance"} {
		for _, v := range fixture[vector](t, file) {
			t.Run(file+"/"+v.Name, func(t *testing.T) {
				value := newStruct(t, v.Struct)
				if v.JSON != nil {
					if err := json.Unmarshal(*v.JSON, value); err != nil {
						t.Fatal(err)
					}
					again, err := json.Marshal(value)
					if err != nil {
						t.Fatal(err)
					}
					if !sameJSON(t, again, *v.JSON) {
						t.Errorf("JSON\n%s\nwant\n%s", again, *v.JSON)
					}
				} else {
					if value = largest[v.Name]; value == nil {
						t.Fatal("neither JSON nor a value")
					}
					if b, err := json.Marshal(value); err == nil {
						t.Errorf("JSON would lose digits: %s", b)
					}
				}
				encoded, err := value.MarshalCapnp()
				if err != nil {
					t.Fatal(err)
				}
				if got := hex.EncodeToString(encoded); got != v.Capnp {
					t.Errorf("Cap'n Proto\n%s\nwant\n%s", got, v.Capnp)
				}
				decoded := newStruct(t, v.Struct)
				if err := decoded.UnmarshalCanonicalCapnp(unhex(t, v.Capnp)); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(decoded, value) {
					t.Errorf("decoded\n%+v\nwant\n%+v", decoded, value)
				}
			})
		}
	}
}

// malformed has the errors by the names that the vectors give them.
var malformed = map[string]error{
	"invalidUtf8":        wire.ErrInvalidUTF8,
	"missingNul":         wire.ErrMissingNul,
	"missingStruct":      wire.ErrMissingStruct,
	"outOfBounds":        wire.ErrOutOfBounds,
	"tooDeep":            wire.ErrTooDeep,
	"tooMuch":            wire.ErrTooMuch,
	"truncated":          wire.ErrTruncated,
	"unknownEnumerant":   wire.ErrUnknownEnumerant,
	"unknownMember":      wire.ErrUnknownMember,
	"unsupportedPointer": wire.ErrUnsupportedPointer,
	"wrongKind":          wire.ErrWrongKind,
}

func TestMalformed(t *testing.T) {
	type vector struct{ Name, Struct, Capnp, Error, Canonical string }
	for _, v := range fixture[vector](t, "malformed") {
		t.Run(v.Name, func(t *testing.T) {
			b := unhex(t, v.Capnp)
			value := newStruct(t, v.Struct)
			err := value.UnmarshalCapnp(b)
			strict := newStruct(t, v.Struct).UnmarshalCanonicalCapnp(b)
			if v.Error != "" {
				want := malformed[v.Error]
				if err == nil || !errors.Is(err, want) || !errors.Is(strict, want) {
					t.Errorf("%v, %v, want %v", err, strict, want)
				}
				return
			}
			if err != nil || !errors.Is(strict, wire.ErrNotCanonical) {
				t.Fatal(err, strict)
			}
			canonical, err := value.MarshalCapnp()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := hex.EncodeToString(canonical), strings.ReplaceAll(v.Canonical, " ", ""); got != want {
				t.Errorf("canonical form\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestMalformedJSON(t *testing.T) {
	type vector struct {
		Name, Struct string
		JSON         json.RawMessage
	}
	for _, v := range fixture[vector](t, "malformed-json") {
		t.Run(v.Name, func(t *testing.T) {
			value := newStruct(t, v.Struct)
			if err := json.Unmarshal(v.JSON, value); err == nil {
				t.Errorf("accepted: %+v", value)
			}
		})
	}
}

func TestBundles(t *testing.T) {
	type vector struct {
		Name     string
		Document json.RawMessage
		Integers *struct{ Epoch, Seqno, IssuedAt string }
		CBOR     string
	}
	for _, v := range fixture[vector](t, "bundle") {
		t.Run(v.Name, func(t *testing.T) {
			var document bundle.Document
			if err := json.Unmarshal(v.Document, &document); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			want := []byte(strings.Replace(string(v.Document), `"prevKeyId":"",`, "", 1))
			if !sameJSON(t, again, want) {
				t.Errorf("JSON\n%s\nwant\n%s", again, want)
			}
			value := identityjson.CABundle(document)
			if v.Integers != nil {
				value.Epoch, _ = strconv.ParseUint(v.Integers.Epoch, 10, 64)
				value.Seqno, _ = strconv.ParseUint(v.Integers.Seqno, 10, 64)
				value.IssuedAt, _ = strconv.ParseInt(v.Integers.IssuedAt, 10, 64)
			}
			keys := slices.Clone(value.Keys)
			// Whatever order the keys come in, the bytes are the same.
			slices.Reverse(value.Keys)
			encoded, err := bundle.MarshalCBOR(&value)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(encoded); got != v.CBOR {
				t.Errorf("CBOR\n%s\nwant\n%s", got, v.CBOR)
			}
			decoded, err := bundle.UnmarshalCBOR(unhex(t, v.CBOR))
			if err != nil {
				t.Fatal(err)
			}
			value.Keys, value.Signature = keys, nil
			if !reflect.DeepEqual(*decoded, value) {
				t.Errorf("decoded\n%+v\nwant\n%+v", *decoded, value)
			}
		})
	}
}

func TestMalformedBundles(t *testing.T) {
	expected := map[string]error{"invalidCbor": bundle.ErrInvalidCBOR, "invalidTime": bundle.ErrInvalidTime}
	type vector struct{ Name, CBOR, Error string }
	for _, v := range fixture[vector](t, "malformed-bundle") {
		t.Run(v.Name, func(t *testing.T) {
			if _, err := bundle.UnmarshalCBOR(unhex(t, v.CBOR)); err == nil || !errors.Is(err, expected[v.Error]) {
				t.Errorf("%v, want %s", err, v.Error)
			}
		})
	}
}

func TestBundleWithoutCBOR(t *testing.T) {
	key := identityjson.KeyEntry{Kid: "a"}
	for want, value := range map[error]identityjson.CABundle{
		bundle.ErrDuplicateKeyID: {Keys: []identityjson.KeyEntry{key, key}},
		bundle.ErrInvalidTime:    {IssuedAt: -1},
		bundle.ErrInvalidText:    {KeyId: "\xff"},
	} {
		if _, err := bundle.MarshalCBOR(&value); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// What capnpc-go generates reads the same bytes.
func TestGeneratedAccessors(t *testing.T) {
	value := identityjson.CABundle{
		Epoch: 7, Seqno: 8, KeyId: "a", PrevKeyId: "b", IssuedAt: 9, Signature: []byte{1},
		Keys: []identityjson.KeyEntry{{Kid: "a", PublicKey: []byte{2}}, {Kid: "b", PublicKey: []byte{3}}},
	}
	encoded, err := value.MarshalCapnp()
	if err != nil {
		t.Fatal(err)
	}
	root, err := identity.ReadRootCABundle(&capnp.Message{Arena: capnp.SingleSegment(encoded)})
	if err != nil {
		t.Fatal(err)
	}
	read := identityjson.CABundle{Epoch: root.Epoch(), Seqno: root.Seqno(), IssuedAt: root.IssuedAt()}
	read.KeyId, _ = root.KeyId()
	read.PrevKeyId, _ = root.PrevKeyId()
	read.Signature, _ = root.Signature()
	keys, err := root.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys.Len() {
		kid, _ := keys.At(i).Kid()
		publicKey, _ := keys.At(i).PublicKey()
		read.Keys = append(read.Keys, identityjson.KeyEntry{Kid: kid, PublicKey: publicKey})
	}
	if !reflect.DeepEqual(read, value) {
		t.Errorf("%+v, want %+v", read, value)
	}
	canonical, err := capnp.Canonicalize(capnp.Struct(root))
	if err != nil || !slices.Equal(canonical, encoded) {
		t.Errorf("%x, %v", canonical, err)
	}
}

func TestReceipts(t *testing.T) {
	type vector struct {
		Name       string
		Commitment struct {
			Epoch, Status, TimestampMs                         uint64
			Nonce, ActorFp, BodyHash, HeadersHash, RequestHash string
			Delegation                                         *string
		}
		CBOR string
	}
	for _, v := range fixture[vector](t, "receipt") {
		t.Run(v.Name, func(t *testing.T) {
			in := v.Commitment
			value := receipt.Commitment{
				Epoch: in.Epoch, Nonce: unhex(t, in.Nonce), Status: in.Status, TimestampMS: in.TimestampMs,
				ActorFP: [32]byte(unhex(t, in.ActorFp)), BodyHash: [32]byte(unhex(t, in.BodyHash)),
				HeadersHash: [32]byte(unhex(t, in.HeadersHash)), RequestHash: [32]byte(unhex(t, in.RequestHash)),
			}
			if in.Delegation != nil {
				value.Delegation = unhex(t, *in.Delegation)
			}
			encoded, err := value.MarshalCBOR()
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(encoded); got != v.CBOR {
				t.Errorf("CBOR\n%s\nwant\n%s", got, v.CBOR)
			}
			var decoded receipt.Commitment
			if err := decoded.UnmarshalCBOR(encoded); err != nil || !reflect.DeepEqual(decoded, value) {
				t.Errorf("decoded\n%+v, %v\nwant\n%+v", decoded, err, value)
			}
			// No shorter and no longer message is one, and none with another key.
			refused := [][]byte{append(slices.Clone(encoded), 0), unhex(t, strings.Replace(v.CBOR, "6e6f6e6365", "6e6f6e6366", 1))}
			for length := range encoded {
				refused = append(refused, encoded[:length])
			}
			for _, b := range refused {
				if err := decoded.UnmarshalCBOR(b); !errors.Is(err, receipt.ErrInvalid) {
					t.Errorf("%x: %v", b, err)
				}
			}
		})
	}
}
