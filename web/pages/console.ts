/** The operators' page: a section for each thing that can be looked at and taken back. */

import { strings } from "../strings.ts";
import { Refusal, Unreachable, ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { at } from "../lib/place.ts";
import { type Me, MeSchema } from "../../gen/ts/api.ts";
import { Status, button, empty, focus, toSignIn } from "../lib/ui.ts";
import { isSessionGone } from "../lib/words.ts";
import { overview } from "../console/overview.ts";

const words = strings.console;
const app = byId("app");

type Name = keyof typeof words.sections;

type Section = (me: Me, detail: string | undefined) => HTMLElement | Promise<HTMLElement>;

/** What isn't seen first is fetched when it is wanted. */
const lists = () => import("../console/sections.ts");

const SECTIONS: Record<Name, Section> = {
  overview,
  principals: async (_, id) => (await lists()).principals(id),
  authenticators: async () => (await lists()).authenticators(),
  sessions: async () => (await lists()).sessions(),
  invites: async (me) => (await import("../console/invites.ts")).invites(me),
  credentials: async () => (await lists()).credentials(),
  audit: async () => (await lists()).audit(),
  keys: async () => (await lists()).keys(),
};

/** What the address asks for. */
function wanted(): { name: Name; detail: string | undefined } {
  const [name = "", detail] = location.hash.slice(1).split("/");
  if (!Object.hasOwn(SECTIONS, name)) return { name: "overview", detail: undefined };
  try {
    return { name: name as Name, detail: detail ? decodeURIComponent(detail) : undefined };
  } catch {
    return { name: name as Name, detail: undefined };
  }
}

function show(me: Me): void {
  const links = (Object.keys(SECTIONS) as Name[]).map((name) => h("a", { href: `#${name}` }, words.sections[name]));
  const panel = h("div", { class: "panel" });
  const turn = async (isFirst: boolean) => {
    const { name, detail } = wanted();
    const asked = location.hash;
    for (const link of links) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${words.sections[name]} · ${words.title}`;
    const section = await Promise.resolve(SECTIONS[name](me, detail)).catch(() => {
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

async function start(): Promise<void> {
  const status = new Status();
  app.replaceChildren(status.element);
  status.busy(strings.common.loading);
  try {
    const me = await ask("GET", "/me", MeSchema);
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
