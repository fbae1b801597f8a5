# The one annotation of Cap'n Proto's capnp/compat/json.capnp that our schema uses, with the id
# that `capnp convert json:…` looks for. The rest of that file is left out.
#
# Copyright (c) 2015 Sandstorm Development Group, Inc. and contributors. MIT licence, see LICENSE
# in schema/vendor.

@0x8ef99297a43a5e34;

annotation base64 @0xd7d879450a253e4b (field) :Void;
# Place on a field of type `Data` to indicate that its JSON representation is a Base64 string.
