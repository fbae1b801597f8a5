# How plain workerd runs the worker. `npm start` and the tests use it; paths are relative to this file.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .authority),
    (name = "state", disk = (writable = true)),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
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
    (name = "ISSUER_KEYS", durableObjectNamespace = "IssuerKeys"),
    (name = "SIGNET_AUTHORITY_URL", fromEnvironment = "SIGNET_AUTHORITY_URL"),
    (name = "GHA_ISSUER", fromEnvironment = "GHA_ISSUER"),
    (name = "GHA_ALLOWED_OWNERS", fromEnvironment = "GHA_ALLOWED_OWNERS"),
    (name = "NOTME_KEK_SECRET", fromEnvironment = "NOTME_KEK_SECRET"),
    (name = "NOTME_KEY_STORAGE", fromEnvironment = "NOTME_KEY_STORAGE"),
    (name = "NOTME_LOG_LEVEL", fromEnvironment = "NOTME_LOG_LEVEL"),
  ],
  durableObjectNamespaces = [
    (className = "SigningAuthority", uniqueKey = "signing-authority", enableSql = true, preventEviction = true),
    (className = "IssuerKeys", uniqueKey = "issuer-keys", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
  globalOutbound = "internet",
);
