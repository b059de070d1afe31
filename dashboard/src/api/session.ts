// Who is signed in. The access token is in this page's memory alone; what renews it is a cookie that no script can read.

import { Problem, call } from "./rest.js";
import { Store } from "./store.js";
import type { Tokens } from "./types.js";

export interface Session {
  token: string;
  userId: string;
  /** In milliseconds, as Date.now(). */
  expiresAt: number;
}

export type SignedOut = { reason: "" | "resuming" | "expired" | "signed_out" };

const CSRF_COOKIE = "artcafe_csrf";
// Renewed so long before it expires.
const MARGIN_MS = 60_000;

export const session = new Store<Session | SignedOut>({ reason: csrfToken() ? "resuming" : "" });

let renewal: ReturnType<typeof setTimeout> | undefined;

export function isSignedIn(value: Session | SignedOut): value is Session {
  return "token" in value;
}

export interface Credentials {
  email: string;
  password: string;
  /** Answers to what the identity provider asks for. */
  new_password?: string;
  code?: string;
}

export async function signIn(credentials: Credentials): Promise<void> {
  start(await call<Tokens>("POST", "/auth/login", { body: { ...credentials, session: "cookie" } }));
}

/** Continues the session of an earlier visit, if its cookie is still good. */
export async function resume(): Promise<void> {
  try {
    start(await refresh());
  } catch (error) {
    const hasEnded = error instanceof Problem && error.status >= 400 && error.status < 500;
    session.set({ reason: hasEnded ? "expired" : "" });
  }
}

export function end(reason: "expired" | "signed_out"): void {
  clearTimeout(renewal);
  session.set({ reason });
  if (reason === "signed_out") {
    // Without an answer the cookie ends with the browser's session.
    call("POST", "/auth/logout", { body: {}, headers: csrfHeader() }).catch(() => undefined);
  }
}

function start(tokens: Tokens): void {
  const lifetimeMs = tokens.expires_in * 1000;
  clearTimeout(renewal);
  renewal = setTimeout(() => void renew(), Math.max(lifetimeMs - MARGIN_MS, lifetimeMs / 2));
  session.set({ token: tokens.access_token, userId: tokens.user_id, expiresAt: Date.now() + lifetimeMs });
}

async function renew(): Promise<void> {
  try {
    start(await refresh());
  } catch {
    const current = session.get();
    const leftMs = isSignedIn(current) ? current.expiresAt - Date.now() : 0;
    // The service may be away for a moment; the token is good until it expires.
    if (leftMs > 5_000) renewal = setTimeout(() => void renew(), 5_000);
    else end("expired");
  }
}

function refresh(): Promise<Tokens> {
  return call<Tokens>("POST", "/auth/refresh", { body: {}, headers: csrfHeader() });
}

function csrfHeader(): Record<string, string> {
  return { "X-CSRF-Token": csrfToken() };
}

function csrfToken(): string {
  const pair = document.cookie.split("; ").find((each) => each.startsWith(`${CSRF_COOKIE}=`));
  return pair?.slice(CSRF_COOKIE.length + 1) ?? "";
}
