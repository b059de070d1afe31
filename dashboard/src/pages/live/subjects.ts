// Subjects as people write them: without the organization's id, which begins every one.

const CHANNEL = "channel.";
const OWN = /^(?:tenant\.)?[0-9A-HJKMNP-TV-Z]{26}\./;

/** Such as `orders.new` for `<tenant_id>.orders.new`. */
export function shortSubject(subject: string): string {
  return subject.replace(OWN, "");
}

/** The id of the channel whose subject this is. */
export function channelOf(subject: string): string | undefined {
  const short = shortSubject(subject);
  const id = short.startsWith(CHANNEL) ? short.slice(CHANNEL.length) : "";
  return id && !id.includes(".") ? id : undefined;
}
