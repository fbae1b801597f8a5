using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .floor), (name = "state", disk = (writable = true))],
  sockets = [(name = "http", http = (), service = "main")],
);

const floor :Workerd.Worker = (
  compatibilityDate = "2026-03-01",
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "key.json", json = embed "key.json"),
  ],
  bindings = [(name = "FLOOR", durableObjectNamespace = "Floor")],
  durableObjectNamespaces = [(className = "Floor", uniqueKey = "floor", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
);
