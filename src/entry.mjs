// The module that the runtime loads: the Rust worker and its objects, behind a guard.
//
// A panic in wasm resets the whole instance, and a promise that the dead instance would have
// settled never settles: the caller of a Durable Object would wait for ever. So every call into
// wasm is remembered here until it settles, and rejected at once when the instance dies. The next
// call finds a fresh instance, which worker-build's own glue makes.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import Worker, * as wasm from "../build/index.js";

const pending = new Set();

addEventListener("error", ({ error }) => {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  for (const reject of pending) reject(new Error("the wasm instance was reset by a panic"));
  pending.clear();
});

/** Calls `f`; what it returns is settled at the latest when the wasm instance dies. */
async function guarded(f) {
  let reject;
  const died = new Promise((_, r) => pending.add((reject = r)));
  try {
    return await Promise.race([f(), died]);
  } finally {
    pending.delete(reject);
  }
}

export default class extends WorkerEntrypoint {
  #worker = new Worker(this.ctx, this.env);

  async fetch(request) {
    try {
      return await guarded(() => this.#worker.fetch(request));
    } catch (error) {
      console.error(JSON.stringify({ level: "error", event: "panic", reason: String(error) }));
      return Response.json(
        { error: "internal error", code: "internal" },
        { status: 500, headers: { "cache-control": "no-store", "x-content-type-options": "nosniff" } },
      );
    }
  }
}

/** A Durable Object whose methods are those of the wasm class `name`, one byte string each way. */
const object = (name) =>
  class extends DurableObject {
    #object = new wasm[name](this.ctx, this.env);

    call(command) {
      return guarded(() => this.#object.call(command));
    }
  };

export const SigningAuthority = object("SigningAuthority");
export const IssuerKeys = object("IssuerKeys");
