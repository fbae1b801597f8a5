// The module that the runtime loads: the Rust worker and its objects, behind a guard.
//
// A panic in wasm resets the whole instance, and a promise that the dead instance would have
// settled never settles: the caller of a Durable Object would wait for ever. So every call into
// wasm is remembered here until it settles, and rejected at once when the instance dies. The next
// call finds a fresh instance, which worker-build's own glue makes.
import { DurableObject } from "cloudflare:workers";
import Worker, * as wasm from "../build/index.js";

// wasm-bindgen queues a task for each promise that Rust awaited. workerd's own queueMicrotask is a call
// into C++, a twentieth of what a pair costs; a promise's reaction takes its turn in the same queue.
const resolved = Promise.resolve();
globalThis.queueMicrotask = (task) => {
  resolved.then(() => {
    try {
      task();
    } catch (error) {
      reportError(error); // as queueMicrotask does: the guard below hears of it
    }
  });
};

const pending = new Set();

/** What a dying instance throws: its trap, the wrapping of one by the glue, or a full stack. */
const isDeath = (error) =>
  error instanceof WebAssembly.RuntimeError || error instanceof RangeError || error?.message === "Critical error";

addEventListener("error", ({ error }) => {
  if (!isDeath(error)) return;
  for (const reject of pending) reject(new Error("the wasm instance was reset by a panic"));
  pending.clear();
});

/** Calls `f`; what it returns is settled at the latest when the wasm instance dies. */
const guarded = (f) =>
  new Promise((resolve, reject) => {
    const settled = (settle) => (outcome) => {
      pending.delete(reject);
      settle(outcome);
    };
    pending.add(reject);
    try {
      f().then(settled(resolve), settled(reject));
    } catch (error) {
      settled(reject)(error);
    }
  });

/** The headers of `http::secure`, where there is no wasm to ask. */
const headers = (id) => ({
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "x-request-id": id,
});

export default {
  async fetch(request, env, context) {
    try {
      return await guarded(() => new Worker(context, env).fetch(request));
    } catch (error) {
      const id = crypto.randomUUID().replaceAll("-", "");
      const line = { time: new Date().toISOString(), level: "error", event: "panic", request_id: id, reason: String(error) };
      console.log(JSON.stringify(line));
      return Response.json({ error: "internal error", code: "internal" }, { status: 500, headers: headers(id) });
    }
  },
};

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
export const ApiAnswers = object("ApiAnswers");
