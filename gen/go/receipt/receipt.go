// Package receipt has the receipt commitment: the canonical CBOR that a receipt's signature is over
// (notme-protocol §16.1). Whether a signer accepts what is in it is not decided here.
package receipt

import (
	"errors"

	"github.com/notme/notme/gen/go/wire"
)

// ErrInvalid says that bytes are not the canonical CBOR of a commitment, or that a commitment has a
// nonce of less than 16 bytes.
var ErrInvalid = errors.New("not a receipt commitment")

// Commitment is what a receipt commits to.
type Commitment struct {
	// Revocation epoch of the signer.
	Epoch uint64
	// Chosen by the caller; at least 16 bytes.
	Nonce []byte
	// HTTP status of the response.
	Status uint64
	// SHA-256 of the signer's raw public key.
	ActorFP [32]byte
	// SHA-256 of the response's body.
	BodyHash [32]byte
	// Correlates the receipt with a delegation; nil where there is none.
	Delegation []byte
	// SHA-256 of the response's headers.
	HeadersHash [32]byte
	// SHA-256 of the request.
	RequestHash [32]byte
	// Milliseconds since 1970-01-01T00:00:00Z.
	TimestampMS uint64
}

// MarshalCBOR gives the bytes that are signed.
func (c *Commitment) MarshalCBOR() ([]byte, error) {
	if len(c.Nonce) < 16 {
		return nil, ErrInvalid
	}
	pairs := 8
	if c.Delegation != nil {
		pairs = 9
	}
	b := wire.AppendMap(nil, pairs)
	b = wire.AppendUint(wire.AppendText(b, "epoch"), c.Epoch)
	b = wire.AppendBytes(wire.AppendText(b, "nonce"), c.Nonce)
	b = wire.AppendUint(wire.AppendText(b, "status"), c.Status)
	b = wire.AppendBytes(wire.AppendText(b, "actor_fp"), c.ActorFP[:])
	b = wire.AppendBytes(wire.AppendText(b, "body_hash"), c.BodyHash[:])
	if c.Delegation != nil {
		b = wire.AppendBytes(wire.AppendText(b, "delegation"), c.Delegation)
	}
	b = wire.AppendBytes(wire.AppendText(b, "headers_hash"), c.HeadersHash[:])
	b = wire.AppendBytes(wire.AppendText(b, "request_hash"), c.RequestHash[:])
	return wire.AppendUint(wire.AppendText(b, "timestamp_ms"), c.TimestampMS), nil
}

// UnmarshalCBOR reads what MarshalCBOR writes and nothing else.
func (c *Commitment) UnmarshalCBOR(b []byte) error {
	*c = Commitment{}
	r := wire.NewCBORReader(b)
	key := func(name string) { r.Expect(r.Text() == name) }
	hash := func(name string, to *[32]byte) {
		key(name)
		b := r.Bytes()
		r.Expect(len(b) == len(to))
		copy(to[:], b)
	}
	pairs := r.Map()
	r.Expect(pairs == 8 || pairs == 9)
	key("epoch")
	c.Epoch = r.Uint()
	key("nonce")
	c.Nonce = r.Bytes()
	key("status")
	c.Status = r.Uint()
	hash("actor_fp", &c.ActorFP)
	hash("body_hash", &c.BodyHash)
	if pairs == 9 {
		key("delegation")
		// An empty one is there all the same.
		c.Delegation = append([]byte{}, r.Bytes()...)
	}
	hash("headers_hash", &c.HeadersHash)
	hash("request_hash", &c.RequestHash)
	key("timestamp_ms")
	c.TimestampMS = r.Uint()
	if !r.Finish() || len(c.Nonce) < 16 {
		return ErrInvalid
	}
	return nil
}
