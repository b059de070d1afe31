import type { ServerError } from "./errors.js";
import type { State } from "./states.js";

/** What the client needs of a WebSocket: that of browsers and Node.js 22, or that of the package `ws`. */
export interface WebSocketLike {
  /** The subprotocol that the server has chosen. */
  readonly protocol?: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string) => WebSocketLike;

/** The bounds of the buffer of publishes that wait for a connection. */
export interface OfflineOptions {
  messages: number;
  /** Of all data together, in characters of JSON text; 16 Mi by default. */
  size?: number;
}

/** What signs where Web Crypto has no Ed25519. The package `@noble/ed25519` has this form. */
export interface Ed25519 {
  getPublicKeyAsync(secretKey: Uint8Array): Promise<Uint8Array>;
  signAsync(message: Uint8Array, secretKey: Uint8Array): Promise<Uint8Array>;
}

export interface ClientOptions {
  clientId: string;
  /** The client's private key: 58 characters that begin with SU. */
  seed: string;
  /** For platforms whose Web Crypto has no Ed25519, and used there only. */
  ed25519?: Ed25519;
  /** Aborting it closes the client. */
  signal?: AbortSignal;
  /** Without it, publishing without a connection throws NotConnected. */
  offline?: OfflineOptions;
  /** Is called with each new state. */
  onState?: (state: State) => void;
  /** Is called with what the server or an answering function says outside of any call. */
  onError?: (error: unknown) => void;
  /** Bounds the first connection; 10 s by default. */
  connectTimeoutMs?: number;
  /** Bounds each attempt; 10 s by default. */
  attemptTimeoutMs?: number;
  /** Bounds the wait for an acknowledgement; 10 s by default. */
  ackTimeoutMs?: number;
  /** Bounds the work that `drain` waits for; 10 s by default. */
  drainTimeoutMs?: number;
  /** The bounds of the random delay between attempts; 0.5 s and 30 s by default. */
  firstBackoffMs?: number;
  maxBackoffMs?: number;
}

export interface ConnectOptions extends ClientOptions {
  /** The gateway's address, or the `websocket_url` of the answer that created the client. */
  url: string;
  /** For platforms without a global WebSocket, such as Node.js 20. */
  WebSocket?: WebSocketConstructor;
}

/** The bound of what takes no time of its own, unless the options name another. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** What a channel's subscription begins with: a `seq`, a time, or the last N messages; an empty object means new ones. */
export interface Start {
  since?: number | string;
  last?: number;
}

/** A subject, or the id or name of a channel. */
export interface Target {
  text: string;
  isChannel: boolean;
}

/** What a client says about itself. */
export interface Report {
  status?: string;
  capabilities?: string[];
  metadata?: Record<string, unknown>;
  metrics?: Record<string, unknown>;
}

/** Who is in the organization, as the server says it. Fields of presence are null while nobody can tell. */
export interface RosterEntry {
  client_id: string;
  kind: "client" | "agent";
  name: string;
  status: string;
  health: "healthy" | "degraded" | "unhealthy" | "unknown" | null;
  /** RFC 3339. */
  last_seen: string | null;
  /** What it announced of itself last. */
  capabilities: unknown[] | null;
  metadata: Record<string, unknown> | null;
}

/** Why a connection ended, or could not be made. */
export interface Loss {
  event: "lost" | "retry_later" | "refused";
  error: ServerError | Error;
  /** The delay that the server named. */
  retryAfterMs?: number;
}
