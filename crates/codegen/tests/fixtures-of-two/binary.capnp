@0x9f0000000003b004;

using Go = import "/go.capnp";
using Other = import "binary-other.capnp";

$Go.package("binary");
$Go.import("example.com/binary");

struct Message {
  # A message.

  parts @0 :List(Other.Part);
  # From the other file.
}
