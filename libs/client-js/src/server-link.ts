import type { AnswerFrame } from "./frames.js";
import type { Loss, Report, RosterEntry, Target } from "./options.js";
import type { ReceiveQueue } from "./receive-queue.js";

/**
 * One connection to the server, as the client sees it whatever the transport; `loss` says why it could not be made, or has
 * ended. Its methods reject with ServerError and ConnectionLost.
 */
export interface ServerLink {
  readonly tenantId: string;
  readonly connectionId: string;
  readonly heartbeatIntervalMs: number;
  /** A connection that lasted this long was a success: its loss is not a further failure of the same kind. */
  readonly stableAfterMs: number;
  /** When the server was last heard. */
  readonly lastFrameAt: number;
  readonly loss: Loss | undefined;
  /** Resolves when the connection has ended. */
  readonly lost: Promise<Loss>;
  publish(
    target: Target,
    body: string,
    headers: Record<string, string> | undefined,
    messageId: string | undefined,
  ): Promise<AnswerFrame>;
  /** Publishes the answer to a request, without an acknowledgement. */
  send(subject: string, body: string): void;
  request(subject: string, body: string, timeoutMs: number): Promise<AnswerFrame>;
  report(report: Report): void;
  heartbeat(report: Report): void;
  roster(): Promise<RosterEntry[]>;
  /** Returns when the server has received everything that was sent before. */
  flush(timeoutMs: number): Promise<void>;
  /** Returns when the server has confirmed the subscription. */
  subscribe(feed: ReceiveQueue): Promise<void>;
  unsubscribe(feed: ReceiveQueue): Promise<void>;
  /** Ends a connection that does not answer. */
  abort(reason: string): void;
  /** Says goodbye and ends the connection. */
  close(): Promise<void>;
}

/** With one server to go to, and with several: when one after another is restarted, the next one is ready. */
export const STABLE_AFTER_MS = 5_000;
export const CLUSTER_STABLE_AFTER_MS = 1_000;

/** Opens a connection; `onError` takes what the server says outside of any call. */
export type Dial = (onError: (error: unknown) => void) => Promise<ServerLink>;
