// The frames that a client receives; unknown types and fields are ignored.

import type { RosterEntry } from "./options.js";

export interface WelcomeFrame {
  type: "welcome";
  connection_id: string;
  tenant_id: string;
  heartbeat_interval_s: number;
}

export interface MessageFrame {
  type: "message";
  subject: string;
  data: unknown;
  timestamp: string;
  channel?: string;
  queue?: string;
  reply?: string;
  from?: string;
  headers?: Record<string, string>;
  seq?: number;
}

export interface ErrorFrame {
  type: "error";
  code: string;
  message: string;
  id?: number | string;
  retry_after_ms?: number;
  detail?: unknown;
}

/** An answer to a frame with an `id`. */
export interface AnswerFrame {
  type: "published" | "reply" | "subscribed" | "unsubscribed" | "roster";
  id?: number | string;
  seq?: number;
  duplicate?: boolean;
  data?: unknown;
  /** The id of a channel that was subscribed by its name. */
  channel_id?: string;
  /** A page of the roster, and where the next one begins. */
  roster?: RosterEntry[];
  next_cursor?: string | null;
}

export type Frame =
  | WelcomeFrame
  | MessageFrame
  | ErrorFrame
  | AnswerFrame
  | { type: "challenge"; nonce: string }
  | { type: "reconnect"; retry_after_ms: number }
  | { type: "gap"; channel: string; from_seq: number; to_seq: number }
  | { type: "pong" }
  | { type: "heartbeat_ack" };

/** A frame of JSON text; undefined for anything else. */
export function parseFrame(text: unknown): Frame | undefined {
  if (typeof text !== "string") return undefined;
  try {
    const frame: unknown = JSON.parse(text);
    const isFrame = typeof frame === "object" && frame !== null && "type" in frame;
    return isFrame ? (frame as Frame) : undefined;
  } catch {
    return undefined;
  }
}
