# Annotations that our generator understands.

@0xa3543f697af4fa95;

annotation optional @0xe4fbd1bbd9a7d1c4 (field) :Void;
# The member may be left out of the JSON form. On a field of a struct type it also means that the
# struct may be absent from the message; every other struct is required. On Text, Data and lists
# absence and emptiness are one and the same value. Not for scalars, groups or members of a union.
