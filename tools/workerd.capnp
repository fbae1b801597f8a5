# How plain workerd runs the worker. `npm start` and the tests use it; paths are relative to this file.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .authority),
    (name = "state", disk = (writable = true)),
    (name = "internet", network = (allow = ["public"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);

const authority :Workerd.Worker = (
  compatibilityDate = "2026-03-01",
  modules = [
    (name = "src/entry.mjs", esModule = embed "../src/entry.mjs"),
    (name = "build/index.js", esModule = embed "../build/index.js"),
    (name = "build/index_bg.wasm", wasm = embed "../build/index_bg.wasm"),
  ],
  bindings = [
    (name = "SIGNING_AUTHORITY", durableObjectNamespace = "SigningAuthority"),
  ],
  durableObjectNamespaces = [
    (className = "SigningAuthority", uniqueKey = "signing-authority", enableSql = true, preventEviction = true),
  ],
  durableObjectStorage = (localDisk = "state"),
  globalOutbound = "internet",
);
