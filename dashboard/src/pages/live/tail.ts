// The messages of a live tail: read in batches, bounded in number and in the time they may take.

import type { PreviewMessage } from "../../api/types.js";

export interface TailMessage extends PreviewMessage {
  /** Counts up within the page. */
  id: number;
  /** The frame, in which searches look. */
  text: string;
}

export interface Counts {
  received: number;
  /** By the server, since this page did not read fast enough. */
  dropped: number;
  /** By this page, since it could not draw fast enough. */
  skipped: number;
}

// More are not kept; the oldest go first.
export const MAX_KEPT = 5_000;
const MAX_WAITING = 10_000;
const BATCH_BUDGET_MS = 8;
const CHECK_EVERY = 32;

export class Tail {
  kept: TailMessage[] = [];
  counts: Counts = { received: 0, dropped: 0, skipped: 0 };
  #waiting: string[] = [];
  #lastId = 0;

  /** Takes a frame; it is read by the next `read`. */
  push(text: string): void {
    this.counts.received += 1;
    this.#waiting.push(text);
    if (this.#waiting.length > MAX_WAITING) this.#skip(MAX_WAITING / 2);
  }

  /** Reads what waits, within the time of half a frame; the oldest of what is left then are skipped. */
  read(): boolean {
    if (this.#waiting.length === 0) return false;
    const waiting = this.#waiting;
    this.#waiting = [];
    const end = performance.now() + BATCH_BUDGET_MS;
    const added: TailMessage[] = [];
    for (let i = 0; i < waiting.length; i++) {
      if (i % CHECK_EVERY === 0 && performance.now() > end) {
        this.#waiting = waiting.slice(i);
        this.#skip(MAX_KEPT / 10);
        break;
      }
      added.push(this.#parse(waiting[i] as string));
    }
    const kept = this.kept.concat(added);
    this.kept = kept.length > MAX_KEPT ? kept.slice(-MAX_KEPT) : kept;
    return true;
  }

  clear(): void {
    this.kept = [];
    this.#waiting = [];
    this.counts = { received: 0, dropped: 0, skipped: 0 };
  }

  #parse(text: string): TailMessage {
    const frame = JSON.parse(text) as PreviewMessage;
    this.counts.dropped += frame.dropped ?? 0;
    return { ...frame, id: ++this.#lastId, text };
  }

  /** Leaves so many waiting. */
  #skip(left: number): void {
    const count = this.#waiting.length - left;
    if (count <= 0) return;
    this.#waiting = this.#waiting.slice(count);
    this.counts.skipped += count;
  }
}
