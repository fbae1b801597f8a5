# The annotations of Cap'n Proto's capnp/compat/json.capnp that our schema uses, with the ids that
# `capnp convert json:…` looks for. The rest of that file is left out.
#
# Copyright (c) 2015 Sandstorm Development Group, Inc. and contributors. MIT licence, see LICENSE
# in schema/vendor.

@0x8ef99297a43a5e34;

annotation base64 @0xd7d879450a253e4b (field) :Void;
# Place on a field of type `Data` to indicate that its JSON representation is a Base64 string.

annotation name @0xfa5b1fd61c2e7c3d (field, enumerant, method, group, union) :Text;
# The name in JSON, where it is not the one in the schema.
