// A message as a call that publishes it.

import type { Json } from "../../api/types.js";

export type CallKind = "cli" | "python" | "typescript" | "curl";

export const CALLS: { kind: CallKind; label: string }[] = [
  { kind: "cli", label: "command line" },
  { kind: "python", label: "Python" },
  { kind: "typescript", label: "TypeScript" },
  { kind: "curl", label: "curl" },
];

export interface Target {
  subject: string;
  channelId?: string | undefined;
  data: Json;
}

export function callOf(kind: CallKind, { subject, channelId, data }: Target): string {
  const json = JSON.stringify(data);
  const name = JSON.stringify(channelId ?? subject);
  switch (kind) {
    case "cli":
      return `artcafe pub ${quoted(channelId ?? subject)} ${quoted(json)}${channelId ? " --channel" : ""}`;
    case "python":
      return channelId
        ? `await client.channel(${name}).publish(json.loads(${JSON.stringify(json)}))`
        : `await client.publish(${name}, json.loads(${JSON.stringify(json)}))`;
    case "typescript":
      return channelId ? `await client.channel(${name}).publish(${json});` : `await client.publish(${name}, ${json});`;
    case "curl":
      return channelId
        ? `curl ${quoted(`${location.origin}/api/v1/channels/${channelId}/messages`)} -H "Authorization: Bearer $TOKEN" ` +
            `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify({ data }))}`
        : `# Over REST, people publish to channels only; this is the command line.\n${callOf("cli", { subject, data })}`;
  }
}

/** A word of a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
