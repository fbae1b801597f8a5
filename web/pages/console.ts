/** The operators' page: a section for each thing that can be looked at and taken back. */

import { strings } from "../strings.ts";
import { Refusal, Unreachable, ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { at } from "../lib/place.ts";
import { type Me, MeSchema } from "../../gen/ts/api.ts";
import { stepUp } from "../lib/passkeys.ts";
import { Status, attempt, button, empty, focus, telling, toSignIn } from "../lib/ui.ts";
import { isSessionGone } from "../lib/words.ts";
import { overview } from "../console/overview.ts";

const words = strings.console;
const app = byId("app");

type Name = keyof typeof words.sections;

/** What the address says beside the section's name. */
export interface Place {
  detail: string | undefined;
  /** What its list is narrowed to. */
  only: Record<string, string>;
}

type Section = (me: Me, place: Place) => HTMLElement | Promise<HTMLElement>;

/** What isn't seen first is fetched when it is wanted. */
const lists = () => import("../console/sections.ts");

const SECTIONS: Record<Name, Section> = {
  overview,
  principals: async (me, { detail }) => (await lists()).principals(me, detail),
  grants: async (_, { only }) => (await lists()).grants(only),
  authenticators: async (_, { only }) => (await lists()).authenticators(only),
  sessions: async (_, { only }) => (await lists()).sessions(only),
  invites: async (me, { only }) => (await import("../console/invites.ts")).invites(me, only),
  issuers: async (me) => (await import("../console/issuers.ts")).issuers(me),
  credentials: async (_, { only }) => (await lists()).credentials(only),
  audit: async (_, { only }) => (await lists()).audit(only),
  keys: async () => (await lists()).keys(),
};

/** What the address asks for. */
function wanted(): Place & { name: Name } {
  const [where = "", query = ""] = location.hash.slice(1).split("?");
  const [name = "", detail] = where.split("/");
  if (!Object.hasOwn(SECTIONS, name)) return { name: "overview", detail: undefined, only: {} };
  const only = Object.fromEntries(new URLSearchParams(query));
  try {
    return { name: name as Name, detail: detail ? decodeURIComponent(detail) : undefined, only };
  } catch {
    return { name: name as Name, detail: undefined, only };
  }
}

function show(me: Me): void {
  const links = (Object.keys(SECTIONS) as Name[]).map((name) => h("a", { href: `#${name}` }, words.sections[name]));
  const panel = h("div", { class: "panel" });
  const turn = async (isFirst: boolean) => {
    const { name, ...place } = wanted();
    const asked = location.hash;
    for (const link of links) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${words.sections[name]} · ${words.title}`;
    const section = await Promise.resolve(SECTIONS[name](me, place)).catch(() => {
      const status = new Status();
      status.failed(new Unreachable(), button(strings.common.retry, () => turn(isFirst)));
      return status.element;
    });
    if (asked !== location.hash) return; // somebody went on meanwhile
    panel.replaceChildren(section);
    if (!isFirst) focus(panel.querySelector("h2"));
  };
  app.replaceChildren(h("div", { class: "console" }, h("nav", { class: "sections", "aria-label": words.nav }, ...links), panel));
  addEventListener("hashchange", () => void turn(false));
  void turn(true);
}

/** Somebody was made an administrator while they were signed in. */
function waits(): void {
  const status = new Status();
  const go = async () => {
    if (await attempt(status, () => stepUp(telling(status, strings.stepUp.working)))) await start();
  };
  app.replaceChildren(empty(words.pending, strings.me.pendingText, button(strings.stepUp.button, go, "primary")), status.element);
}

async function start(): Promise<void> {
  const status = new Status();
  app.replaceChildren(status.element);
  status.busy(strings.common.loading);
  try {
    const me = await ask("GET", "/me", MeSchema);
    if (me.pending.includes("authorityManage")) return waits();
    if (!me.isAdmin) throw new Refusal(403, "manage_required", "", undefined);
    show(me);
  } catch (error) {
    if (isSessionGone(error)) return toSignIn();
    if (error instanceof Refusal && error.code === "manage_required") {
      app.replaceChildren(empty(words.forbidden, words.forbiddenNext, h("a", { href: at("/me") }, strings.common.me)));
    } else status.failed(error, button(strings.common.retry, start));
  }
}

void start();
