// The subjects of the broker for the names that a program uses. Over WebSocket the gateway does this.

import { BadSubject, ForbiddenSubject } from "./error-codes.js";
import { isChannelId, resolve } from "./names.js";

const MAX_SUBJECT_BYTES = 255;
const OLDER_HABITS = ["agents", "channels"];
// eslint-disable-next-line no-control-regex
const BAD = /[\s\x00-\x1f\x7f-\x9f]/;

/** Where a name is published. Throws BadSubject and ForbiddenSubject. */
export function publishSubject(tenantId: string, text: string): string {
  const name = resolveName(tenantId, text, false);
  if (name.verbatim) return text;
  if (name.bare.startsWith("presence.") || name.bare === "presence") throw new ForbiddenSubject();
  return `${tenantId}.${name.bare}`;
}

/** What a pattern subscribes to: it is published in one spelling by the platform, and in two by others. */
export function subscribeSubjects(tenantId: string, text: string): string[] {
  const name = resolveName(tenantId, text, true);
  if (name.verbatim) return [text];
  const [short, full] = [`${tenantId}.${name.bare}`, `tenant.${tenantId}.${name.bare}`];
  const first = name.bare.split(".")[0];
  if (first === "presence") return [full];
  return first === "channel" ? [short] : [short, full];
}

/** The subject of a channel. */
export function channelSubject(tenantId: string, channelId: string): string {
  return `tenant.${tenantId}.channel.${channelId}`;
}

/** What a subject of the broker is called in messages, and the channel it belongs to. */
export function receivedName(tenantId: string, subject: string): { name: string; channel: string | undefined } {
  const channelPrefix = channelSubject(tenantId, "");
  if (subject.startsWith(channelPrefix)) return { name: subject, channel: subject.slice(channelPrefix.length) };
  return { name: resolve(tenantId, subject).bare, channel: undefined };
}

function resolveName(tenantId: string, text: string, wildcards: boolean): { bare: string; verbatim: boolean } {
  const tokens = validate(text, wildcards);
  const [first = "", second] = tokens;
  if (first === "_INBOX" && !wildcards && tokens.length > 1) return { bare: text, verbatim: true };
  if (OLDER_HABITS.includes(first) && second === tenantId) return { bare: text, verbatim: true };
  if (first === "tenant" && second !== tenantId) throw new ForbiddenSubject();
  const { bare, prefix } = resolve(tenantId, text);
  if (prefix === "" && first === "tenant") {
    if (tokens.length < 3) throw new BadSubject({ message: "a name must follow the organization's id" });
    return { bare, verbatim: true };
  }
  if (bare === tenantId) throw new BadSubject({ message: "a name must follow the organization's id" });
  const [token = ""] = bare.split(".");
  if (/^[$_]/.test(token) || isChannelId(token)) throw new ForbiddenSubject();
  return { bare, verbatim: false };
}

function validate(text: string, wildcards: boolean): string[] {
  if (text === "" || BAD.test(text)) {
    throw new BadSubject({ message: "a subject must not be empty or contain white space or control characters" });
  }
  if (new TextEncoder().encode(text).length > MAX_SUBJECT_BYTES) {
    throw new BadSubject({ message: `a subject must not exceed ${MAX_SUBJECT_BYTES} bytes` });
  }
  const tokens = text.split(".");
  for (const [position, token] of tokens.entries()) {
    if (token === "") throw new BadSubject({ message: "a subject must not contain an empty token" });
    if (!/[*>]/.test(token)) continue;
    const isPlaced = token === "*" || (token === ">" && position === tokens.length - 1);
    if (!wildcards || !isPlaced) {
      throw new BadSubject({ message: "a wildcard must be a whole token, and is allowed in patterns only" });
    }
  }
  return tokens;
}
