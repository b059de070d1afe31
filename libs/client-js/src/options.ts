import type { ServerError } from "./errors.js";
import type { State } from "./states.js";

/** What the client needs of a WebSocket: that of browsers and Node.js 22, or that of the package `ws`. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** The bounds of the buffer of publishes that wait for a connection. */
export interface OfflineOptions {
  messages: number;
  /** Of all data together, in characters of JSON text; 16 Mi by default. */
  size?: number;
}

export interface ConnectOptions {
  /** The gateway's address, or the `websocket_url` of the answer that created the client. */
  url: string;
  clientId: string;
  /** The client's private key: 58 characters that begin with SU. */
  seed: string;
  /** Aborting it closes the client. */
  signal?: AbortSignal;
  /** For platforms without a global WebSocket, such as Node.js 20. */
  WebSocket?: WebSocketConstructor;
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

/** Why a connection ended, or could not be made. */
export interface Loss {
  event: "lost" | "retry_later" | "refused";
  error: ServerError | Error;
  /** The delay that the server named. */
  retryAfterMs?: number;
}
