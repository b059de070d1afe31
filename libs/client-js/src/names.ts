// The spellings of subjects: `x`, `{tenantId}.x` and `tenant.{tenantId}.x` are one name. The server validates them.

/** A subject without the organization, and the prefix with which it was written. */
export interface Name {
  bare: string;
  prefix: string;
}

/** A channel's own subject `tenant.{tenantId}.channel.{id}` has this one spelling. */
export function resolve(tenantId: string, text: string): Name {
  for (const prefix of [`tenant.${tenantId}.`, `${tenantId}.`]) {
    if (text.startsWith(prefix) && text.length > prefix.length) {
      const bare = text.slice(prefix.length);
      const isChannel = prefix.startsWith("tenant.") && /^channel(\.|$)/.test(bare);
      return isChannel ? { bare: text, prefix: "" } : { bare, prefix };
    }
  }
  return { bare: text, prefix: "" };
}

/** Whether a pattern matches a subject, by the rules of NATS. */
export function matches(pattern: string, subject: string): boolean {
  const tokens = subject.split(".");
  const parts = pattern.split(".");
  for (const [position, part] of parts.entries()) {
    if (part === ">") return tokens.length > position;
    if (position >= tokens.length || (part !== "*" && part !== tokens[position])) return false;
  }
  return parts.length === tokens.length;
}

const CHANNEL_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Whether this is a channel's id, and not its name. */
export function isChannelId(text: string): boolean {
  return CHANNEL_ID.test(text);
}
