# Annotations that our generator understands.

@0xa3543f697af4fa95;

annotation optional @0xe4fbd1bbd9a7d1c4 (field) :Void;
# The member may be left out of the JSON form. On a field of a struct type it also means that the
# struct may be absent from the message; every other struct is required. On Text, Data and lists
# absence and emptiness are one and the same value. Not for scalars, groups or members of a union.
# In a file that is JSON only it may also be on scalars, and absent is never the same as empty.

annotation jsonOnly @0x84632f59a6719998 (file) :Void;
# The file's messages are JSON and nothing else: never Cap'n Proto's bytes, never stored, never
# signed. Its types become validators in TypeScript and a JSON Schema, and nothing in Rust and Go.
