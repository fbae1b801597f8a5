# Every construct that the generator supports, so that the vectors reach each of them. No message
# of the product is defined here.

@0x9be2ea4f1b0cd4a7;

using Go = import "/go.capnp";
using Json = import "/capnp/compat/json.capnp";
using Notme = import "/notme.capnp";
using Identity = import "identity.capnp";

$Go.package("conformance");
$Go.import("github.com/notme/notme/gen/go/conformance");

struct Scalars {
  # Every scalar, packed as the compiler packs them.

  flag @0 :Bool;
  # One bit.
  tiny @1 :Int8;
  # One byte, signed.
  flagged @2 :Bool;
  # The next bit of the first byte.
  small @3 :Int16;
  # Two bytes, signed.
  medium @4 :Int32;
  # Four bytes, signed.
  large @5 :Int64;
  # Eight bytes, signed.
  tinyUnsigned @6 :UInt8;
  # One byte.
  smallUnsigned @7 :UInt16;
  # Two bytes.
  mediumUnsigned @8 :UInt32;
  # Four bytes.
  largeUnsigned @9 :UInt64;
  # Eight bytes.
  colour @10 :Colour;
  # Two bytes.
}

enum Colour {
  # Three names.

  red @0;
  # The default.
  green @1;
  # Not the default.
  ultraViolet @2;
  # A name of two words.
}

struct Defaults {
  # Scalars that are not zero by default: on the wire they are XORed with it.

  on @0 :Bool = true;
  # True unless said otherwise.
  answer @1 :UInt16 = 42;
  # A positive default.
  below @2 :Int64 = -1;
  # A negative default.
  colour @3 :Colour = ultraViolet;
  # An enumerant as default.
}

struct Lists {
  # Lists of everything that may be in one.

  flags @0 :List(Bool);
  # Eight to a byte.
  tiny @1 :List(Int8);
  # One byte each, signed.
  bytes @2 :List(UInt8);
  # Numbers, unlike Data.
  small @3 :List(Int16);
  # Two bytes each, signed.
  smallUnsigned @4 :List(UInt16);
  # Two bytes each.
  medium @5 :List(Int32);
  # Four bytes each, signed.
  mediumUnsigned @6 :List(UInt32);
  # Four bytes each.
  large @7 :List(Int64);
  # Eight bytes each, signed.
  largeUnsigned @8 :List(UInt64);
  # Eight bytes each.
  colours @9 :List(Colour);
  # Two bytes each.
  texts @10 :List(Text);
  # Pointers.
  blobs @11 :List(Data);
  # Pointers.
  structs @12 :List(Scalars);
  # Inline, all of one size.
  nested @13 :List(List(UInt16));
  # A list of lists.
  grid @14 :List(List(Point));
  # A list of lists of structs.

  struct Point {
    # A struct declared in another.

    x @0 :Int32;
    # Across.
    y @1 :Int32;
    # Down.
    label @2 :Text;
    # A pointer beside the data.
  }
}

struct Shape {
  # Groups, a named union and an anonymous one beside plain fields.

  name @0 :Text;
  # A plain field.
  union {
    # Members share their data section.

    nothing @1 :Void;
    # A member without a value.
    side @2 :UInt32;
    # A number.
    label @3 :Text;
    # A pointer.
    corners @4 :List(Lists.Point);
    # A list of structs.
    box :group {
      # A group as member of a union.

      width @5 :UInt16;
      # A number.
      caption @6 :Text;
      # A pointer.
    }
  }
  fill :union {
    # A named union.

    none @7 :Void;
    # The default.
    colour @8 :Colour;
    # An enumerant.
    image @9 :Data $Json.base64;
    # Bytes.
    transparent @10 :Bool;
    # One bit.
  }
  origin :group {
    # A named group.

    x @11 :Int32;
    # Across.
    y @12 :Int32;
    # Down.
    by @13 :Identity.AgentIdentity $Notme.optional;
    # A struct from another file.
  }
}

struct Node {
  # A struct that contains itself.

  value @0 :UInt8;
  # A number.
  next @1 :Node $Notme.optional;
  # Directly.
  children @2 :List(Node);
  # In a list.
}

struct Choice {
  # Nothing but a union, with the members whose JSON form needs care.

  union {
    nothing @0 :Void;
    # No value.
    large @1 :Int64;
    # A number that JSON may refuse.
    largeUnsigned @2 :UInt64;
    # A number that JSON may refuse.
    larges @3 :List(Int64);
    # Numbers that JSON may refuse.
    largesUnsigned @4 :List(UInt64);
    # Numbers that JSON may refuse.
    blob @5 :Data $Json.base64;
    # Bytes.
    blobs @6 :List(Data);
    # A list of bytes.
    text @7 :Text;
    # An empty text is still this member.
    inner @8 :Choice;
    # Itself.
    answer @9 :UInt16 = 42;
    # A member that is not zero by default.
  }
}
