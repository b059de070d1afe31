import type { Message } from "./message.js";
import type { ReceiveQueue } from "./receive-queue.js";

/**
 * The messages of a subject or channel: `for await (const message of subscription)`.
 *
 * It begins when it is made. Leaving the loop by `break` or `return` ends it.
 */
export class Subscription implements AsyncIterableIterator<Message, undefined> {
  readonly #queue: ReceiveQueue;
  readonly #stop: (queue: ReceiveQueue) => Promise<void>;

  constructor(queue: ReceiveQueue, stop: (queue: ReceiveQueue) => Promise<void>, signal: AbortSignal | undefined) {
    this.#queue = queue;
    this.#stop = stop;
    const end = (): void => void this.unsubscribe();
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message. Rejects with GapError, or with the error that ended the subscription. */
  next(): Promise<IteratorResult<Message, undefined>> {
    return this.#queue.get();
  }

  /** Ends the subscription, and the iteration. */
  async return(): Promise<IteratorResult<Message, undefined>> {
    await this.unsubscribe();
    return { done: true, value: undefined };
  }

  /** Resolves when the server has confirmed the subscription; rejects with its error. */
  async confirmed(): Promise<this> {
    await this.#queue.confirmed();
    return this;
  }

  /** Ends the subscription; what its queue holds can still be read. */
  unsubscribe(): Promise<void> {
    return this.#stop(this.#queue);
  }

  /** How many messages wait in the queue. */
  get pending(): number {
    return this.#queue.pending;
  }

  /** How many messages were lost because the queue was full. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  /** How many repeated messages of a channel were left out. */
  get duplicates(): number {
    return this.#queue.duplicates;
  }
}
