/** What an operator sees first. */

import { StatusSchema } from "../../gen/ts/api.ts";
import { strings } from "../strings.ts";
import { ask } from "../lib/api.ts";
import { h } from "../lib/dom.ts";
import { Status, attempt, button, code, empty, facts, pane } from "../lib/ui.ts";

const words = strings.console;

export function overview(): HTMLElement {
  const texts = words.overview;
  const status = new Status();
  const body = h("div", {});
  const load = async (): Promise<void> => {
    status.busy(strings.common.loading);
    const found = await attempt(status, () => ask("GET", "/auth/passkey/status", StatusSchema));
    if (!found) return body.replaceChildren(button(strings.common.retry, load));
    status.clear();
    const { authority, passkey } = found;
    body.replaceChildren(
      facts(
        [texts.epoch, String(authority.epoch)],
        [texts.seqno, String(authority.seqno)],
        [texts.keyId, code(authority.keyId)],
        [texts.users, String(passkey.users)],
        [texts.credentials, String(passkey.credentials)],
        [texts.admins, String(passkey.admins)],
        [texts.rpId, code(found.rpId)],
        [texts.armed, found.recoveryArmed ? texts.armedYes : texts.armedNo],
      ),
    );
    if (passkey.admins < 2) body.append(empty(texts.oneAdmin, h("a", { href: "#invites?scope=authorityManage" }, texts.oneAdminNext)));
  };
  void load();
  return pane(texts.window, words.sections.overview, status.element, body);
}
