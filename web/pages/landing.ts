/** The landing page works without this: it says whether the authority is up, and copies. */

import { strings } from "../strings.ts";
import { h } from "../lib/dom.ts";
import { at } from "../lib/place.ts";
import { copyButton } from "../lib/ui.ts";

for (const block of document.querySelectorAll(".command")) {
  const text = block.textContent ?? "";
  block.after(copyButton(() => text, text));
}

const health = document.getElementById("health");
if (health) {
  let isUp = false;
  try {
    const response = await fetch(at("/health"), { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    isUp = response.ok && (await response.text()) === "ok";
  } catch {
    // it is down
  }
  const { healthUp, healthDown } = strings.landing;
  health.replaceChildren(h("span", { class: isUp ? "dot up" : "dot down", "aria-hidden": "true" }), " ", isUp ? healthUp : healthDown);
}
