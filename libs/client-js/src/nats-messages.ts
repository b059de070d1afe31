// Messages and errors of the NATS library, in the terms of this package.

import { headers as createHeaders, type Msg, type MsgHdrs } from "@nats-io/nats-core";

import { ForbiddenSubject, NoResponders, PayloadTooLarge, RequestTimeout } from "./error-codes.js";
import { ArtcafeError, ConnectionLost } from "./errors.js";
import { toBase64 } from "./nkeys.js";

const PLATFORM_HEADERS = /^(nats|artcafe)-/i;

/** The JSON value of a message; `{base64: …}` for a payload that is not JSON. */
export function decode(message: Msg): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(message.data));
  } catch {
    return { base64: toBase64(message.data) };
  }
}

/** The headers that the publisher has set, without those of the broker and of the platform. */
export function publishersHeaders(headers: MsgHdrs | undefined): Record<string, string> {
  const names = (headers?.keys() ?? []).filter((name) => !PLATFORM_HEADERS.test(name));
  return Object.fromEntries(names.map((name) => [name, headers?.values(name).join(", ") ?? ""]));
}

/** Headers of the NATS library. */
export function toHeaders(fields: Record<string, string>): MsgHdrs {
  const made = createHeaders();
  for (const [name, text] of Object.entries(fields)) made.set(name, text);
  return made;
}

/** The package's error for one of the NATS library. */
export function translate(error: unknown): Error {
  if (!(error instanceof Error)) return new ConnectionLost(String(error));
  if (error instanceof ArtcafeError) return error;
  const cause = error.cause instanceof Error ? error.cause.name : "";
  if (error.name === "PermissionViolationError") return new ForbiddenSubject({ message: error.message });
  if (cause === "NoResponders" || error.name === "NoResponders") return new NoResponders();
  if (error.name === "TimeoutError" || cause === "TimeoutError") return new RequestTimeout();
  if (/payload|max_payload/i.test(error.message)) return new PayloadTooLarge();
  return new ConnectionLost(error.message);
}
