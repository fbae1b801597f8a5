# The two file annotations of go-capnp's std/go.capnp (module capnproto.org/go/capnp/v3) that our
# schema uses, with the ids its generator looks for. The rest of that file is left out.
#
# Copyright (C) 2014 the go-capnproto authors and contributors. MIT licence, see LICENSE here.

@0xd12a1c51fedd6c88;

annotation package @0xbea97f1023792be0 (file) :Text;
# The name of the Go package of the generated file.

annotation import @0xe130b601260e44b5 (file) :Text;
# The import path of the Go package of the generated file.

$package("gocp");
$import("capnproto.org/go/capnp/v3/std/go");
