// Actions and actors in words.

import type { Activity } from "../../api/types.js";

const WORDS: Record<string, string> = {
  "access.denied": "Access refused",
  "access.login_denied": "Login of a client refused",
  "access.subject_denied": "Subject refused",
  "account.key_issued": "Signing key issued",
  "account.key_revoked": "Signing key revoked",
  "client.key_regenerated": "Key of a client replaced",
  "quota.crossed": "Quota crossed",
  "user.login": "Signed in",
};

/** Such as "Channel created" for `channel.created`. */
export function actionWords(action: string): string {
  const words = WORDS[action] ?? action.replace(".", " ").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A kind and an id, such as `client:01J…`. */
export function split(reference: string): [kind: string, id: string] {
  const at = reference.indexOf(":");
  return at < 0 ? ["", reference] : [reference.slice(0, at), reference.slice(at + 1)];
}

export function actorName(entry: Activity, names: Map<string, string>): string {
  return entry.actor_name || nameOf(entry.actor, names);
}

/** The name of what a reference such as `client:01J…` names, else its kind and the end of its id. */
export function nameOf(reference: string, names: Map<string, string>): string {
  const [kind, id] = split(reference);
  return names.get(id) ?? `${kind} ${shortId(id)}`.trim();
}

export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-6)}` : id;
}

/** The page of what an entry is about; none for what has no page. */
export function pageOf(resource: string): string | undefined {
  const [kind, id] = split(resource);
  const pages: Record<string, string> = {
    client: `/clients/${id}`,
    channel: `/channels/${id}`,
    subject: `/channels/subjects/${id}`,
    account: "/settings",
    member: "/settings/members",
  };
  return pages[kind];
}
