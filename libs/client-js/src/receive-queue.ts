import { type ArtcafeError, GapError, SlowSubscriber } from "./errors.js";
import type { MessageFrame } from "./frames.js";
import { Message } from "./message.js";
import { resolve } from "./names.js";
import type { Start, Target } from "./options.js";

/**
 * What a subscription does with a message when its queue is full.
 *
 * `pause` is for channels: it stops receiving, and continues after the last message when half of the queue is free, so
 * that nothing is lost. `drop_oldest` and `drop_newest` lose messages and count them in `dropped`. `end` ends the
 * subscription with SlowSubscriber.
 */
export type Overflow = "pause" | "drop_oldest" | "drop_newest" | "end";

export const MAX_PENDING = 10_000;
export const MAX_PENDING_SIZE = 64 * 1024 * 1024;

/** What a subscription reads, and how. */
export interface Source {
  target: Target;
  queue?: string | undefined;
  /** A place in a channel's history; undefined for live messages only. */
  start?: Start | undefined;
  /** Whether the program named that place: without it, a channel without history is read live. */
  required?: boolean;
  overflow: Overflow;
  maxPending: number;
  maxPendingSize: number;
  onGap?: ((gap: GapError) => void) | undefined;
}

/** What a queue asks of the client when it is full, and when it is read again. */
export interface Flow {
  pause(queue: ReceiveQueue): void;
  proceed(queue: ReceiveQueue): void;
  answer(message: MessageFrame, data: unknown): void;
}

interface Item {
  value: Message | GapError;
  size: number;
}

interface Waiter {
  resolve: (result: IteratorResult<Message, undefined>) => void;
  reject: (error: Error) => void;
}

/** What one subscription has received and the program has not read. */
export class ReceiveQueue {
  readonly target: Target;
  readonly queue: string | undefined;
  dropped = 0;
  duplicates = 0;
  isEnded = false;
  isPaused = false;
  isConfirmed = false;
  /** Orders what is subscribed and unsubscribed for this queue. */
  turn: Promise<void> = Promise.resolve();
  /** The lowest `seq` that was not received yet; undefined while it is not known. */
  nextSeq: number | undefined;
  #source: Source;
  #flow: Flow;
  #items: Item[] = [];
  #size = 0;
  #prefix = "";
  #isLiveOnly: boolean;
  #error: ArtcafeError | undefined;
  #waiters: Waiter[] = [];
  #onConfirmed: (() => void)[] = [];

  constructor(flow: Flow, source: Source) {
    this.#flow = flow;
    this.#source = source;
    this.target = source.target;
    this.queue = source.queue;
    this.#isLiveOnly = source.start === undefined;
  }

  // -- for the program ---------------------------------------------------------------------------

  get pending(): number {
    return this.#items.length;
  }

  /** Returns when the server has confirmed the subscription, or it has ended. */
  async confirmed(): Promise<void> {
    if (!this.isConfirmed && !this.isEnded) {
      await new Promise<void>((done) => this.#onConfirmed.push(done));
    }
    if (this.#error && this.#items.length === 0) throw this.#error;
  }

  get(): Promise<IteratorResult<Message, undefined>> {
    const item = this.#items.shift();
    if (item === undefined) {
      if (this.#error) return Promise.reject(this.#error);
      if (this.isEnded) return Promise.resolve({ done: true, value: undefined });
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    this.#size -= item.size;
    if (this.isPaused && this.#items.length <= this.#source.maxPending / 2) {
      this.isPaused = false;
      this.#flow.proceed(this);
    }
    if (item.value instanceof GapError) return Promise.reject(item.value);
    return Promise.resolve({ done: false, value: item.value });
  }

  // -- for the connection ------------------------------------------------------------------------

  /** How many messages it can still take. */
  get room(): number {
    if (this.#size >= this.#source.maxPendingSize) return 0;
    return Math.max(0, this.#source.maxPending - this.#items.length);
  }

  /** Where to start: after the last message that was received, or where the program asked to. */
  get start(): Start | undefined {
    if (this.#isLiveOnly) return undefined;
    if (this.nextSeq !== undefined) return { since: this.nextSeq };
    return this.#source.start;
  }

  /** Whether it may be read without history, where there is none. */
  get mayGoLive(): boolean {
    return !this.#isLiveOnly && !this.#source.required && this.nextSeq === undefined;
  }

  goLive(): void {
    this.#isLiveOnly = true;
  }

  /** Learns the organization, which a subject may be spelled with. */
  bind(tenantId: string): void {
    if (!this.target.isChannel) this.#prefix = resolve(tenantId, this.target.text).prefix;
  }

  /** The server has confirmed the subscription; `seq` is the number after which the messages follow, if it has a history. */
  started(seq?: number): void {
    const since = this.#source.start?.since;
    if (seq !== undefined) this.nextSeq ??= typeof since === "number" ? since : seq + 1;
    this.isConfirmed = true;
    this.#wakeConfirmed();
  }

  deliver(frame: MessageFrame, size: number): void {
    if (this.isEnded || this.isPaused) return;
    const { seq } = frame;
    if (seq !== undefined && this.nextSeq !== undefined && seq < this.nextSeq) {
      this.duplicates += 1;
      return;
    }
    // A message that is larger than the whole queue is taken when the queue is empty.
    if (this.#isFull(size) && this.#items.length > 0 && !this.#makeRoom(size)) return;
    if (seq !== undefined) this.nextSeq = seq + 1;
    const message = new Message(frame, this.#prefix, (data) => {
      this.#flow.answer(frame, data);
    });
    const waiter = this.#waiters.shift();
    if (waiter) waiter.resolve({ done: false, value: message });
    else this.#push(message, size);
  }

  deliverGap(channel: string, fromSeq: number, toSeq: number): void {
    const expected = this.nextSeq ?? 0;
    if (this.isEnded || this.isPaused || expected > toSeq + 1) return;
    // A gap that ends where this subscription is means that the history was lost: it counts from there again.
    this.nextSeq = expected === toSeq + 1 ? fromSeq : toSeq + 1;
    const gap = new GapError(channel, fromSeq, toSeq);
    if (this.#source.onGap) {
      this.#source.onGap(gap);
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter) waiter.reject(gap);
    else this.#push(gap, 0);
  }

  /** Ends with an error, after what the queue holds. */
  fail(error: ArtcafeError): void {
    this.#error ??= error;
    this.end();
  }

  /** No more messages will arrive. */
  end(): void {
    this.isEnded = true;
    for (const waiter of this.#waiters.splice(0)) {
      if (this.#error) waiter.reject(this.#error);
      else waiter.resolve({ done: true, value: undefined });
    }
    this.#wakeConfirmed();
  }

  // ----------------------------------------------------------------------------------------------

  #isFull(size: number): boolean {
    return this.#items.length >= this.#source.maxPending || this.#size + size > this.#source.maxPendingSize;
  }

  #push(value: Message | GapError, size: number): void {
    this.#items.push({ value, size });
    this.#size += size;
  }

  /** Follows the overflow policy; returns whether the message may be put into the queue. */
  #makeRoom(size: number): boolean {
    const { overflow } = this.#source;
    if (overflow === "pause" && !this.#isLiveOnly && this.nextSeq !== undefined) {
      this.isPaused = true;
      this.#flow.pause(this);
      return false;
    }
    if (overflow === "end") {
      this.fail(new SlowSubscriber(`${this.#items.length} messages of ${this.target.text} wait to be read`));
      this.#flow.pause(this);
      return false;
    }
    this.dropped += 1;
    if (overflow === "drop_newest") return false;
    while (this.#items.length > 0 && this.#isFull(size)) this.#size -= this.#items.shift()?.size ?? 0;
    return true;
  }

  #wakeConfirmed(): void {
    for (const done of this.#onConfirmed.splice(0)) done();
  }
}
