@0x9f0000000003b003;

using Notme = import "/notme.capnp";

$Notme.jsonOnly;

struct Part {
  # A part.

  name @0 :Text;
  # A name.
}
