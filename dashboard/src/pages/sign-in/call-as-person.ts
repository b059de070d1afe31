import { call } from "../../api/rest.js";
import { isSignedIn, session } from "../../api/session.js";

/** A call of the person, for no organization. */
export function callAsPerson<T>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
  const current = session.get();
  const token = isSignedIn(current) ? current.token : "";
  return call<T>(method, path, { ...(body !== undefined && { body }), ...(key && { idempotencyKey: key }) }, { token });
}
