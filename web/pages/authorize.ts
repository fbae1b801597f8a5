/** Letting an application act for oneself. Nothing happens before somebody says so. */

import * as z from "zod/mini";
import { strings } from "../strings.ts";
import { ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { Status, attempt, button, toSignIn, whoIsHere } from "../lib/ui.ts";

const words = strings.authorize;
const app = byId("app");
const status = new Status();

/** What the application asks for: the authority has looked at it, and looks again. */
const { clientId, redirectUri, audience, scope, state, codeChallenge, dpopJkt, denied = "" } = app.dataset;

const CodeSchema = z.object({ location: z.url({ protocol: /^https?$/ }) });

/** Goes back to the application. The address has the code in it: the history doesn't keep this page. */
const leave = (location_: string): void => location.replace(location_);

async function allow(): Promise<void> {
  const wanted = {
    client_id: clientId,
    redirect_uri: redirectUri,
    audience,
    scope,
    state: state || undefined,
    code_challenge: codeChallenge,
    code_challenge_method: "S256",
    dpop_jkt: dpopJkt || undefined,
  };
  status.busy(words.busy);
  const code = await attempt(status, () => ask("POST", "/authorize/code", CodeSchema, wanted));
  if (!code) return;
  status.done(words.done);
  leave(code.location);
}

async function start(): Promise<void> {
  app.replaceChildren(status.element);
  status.busy(strings.common.loading);
  try {
    const name = await whoIsHere();
    if (name === undefined) return toSignIn();
    status.clear();
    app.replaceChildren(
      h("p", {}, words.as(name)),
      h("p", { class: "actions" }, button(words.allow, allow, "primary"), button(words.deny, () => leave(denied))),
      status.element,
    );
  } catch (error) {
    status.failed(error, button(strings.common.retry, start));
  }
}

void start();
