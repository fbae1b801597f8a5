/** Values and errors as words. */

import { strings } from "../strings.ts";
import { BadAnswer, Refusal, Unreachable } from "./api.ts";

const { common, errors } = strings;

/** A time in seconds, in UTC; 0 is `zero`. */
export function time(seconds: number, zero: string = common.never): string {
  if (seconds === 0) return zero;
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return common.unknown;
  return common.today(date.toISOString().slice(0, 16).replace("T", " "));
}

export const scope = (name: string): string => strings.scopes[name] ?? name;
export const method = (name: string): string => strings.methods[name] ?? name;

/** What went wrong, in a sentence that says what to do; nothing, if nothing did. */
export function explain(error: unknown): string | undefined {
  if (error instanceof Refusal) {
    const text = errors.codes[error.code] ?? sentence(error.message);
    return error.retryAfter === undefined ? text : `${text} ${errors.retryIn(error.retryAfter)}`;
  }
  if (error instanceof Unreachable) return errors.unreachable;
  if (error instanceof BadAnswer) return errors.badAnswer;
  if (error instanceof DOMException) return ofBrowser(error);
  return errors.unexpected;
}

/** WebAuthn's own errors. */
function ofBrowser(error: DOMException): string | undefined {
  switch (error.name) {
    case "AbortError":
      return undefined;
    case "NotAllowedError":
      return errors.cancelled;
    case "InvalidStateError":
      return errors.passkeyKnown;
    case "SecurityError":
      return errors.passkeyDomain;
    case "NotSupportedError":
    case "ConstraintError":
      return errors.passkeyUnsupported;
    default:
      return errors.passkeyFailed;
  }
}

const sentence = (text: string): string => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
};

export const isSessionGone = (error: unknown): boolean =>
  error instanceof Refusal && ["no_session", "invalid_session", "no_session_cookie", "session_required", "session_refused"].includes(error.code);
