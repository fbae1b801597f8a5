@0x9f0000000003b001;

using Go = import "/go.capnp";

$Go.package("other");
$Go.import("example.com/other");

struct Part {
  # A part.

  name @0 :Text;
  # A name.
}
