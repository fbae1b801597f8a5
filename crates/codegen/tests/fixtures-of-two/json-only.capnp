@0x9f0000000003b002;

using Notme = import "/notme.capnp";
using Other = import "json-only-other.capnp";

$Notme.jsonOnly;

struct Message {
  # A message.

  part @0 :Other.Part;
  # From the other file.
}
