import { ArtcafeError, ConnectionLost, ServerError } from "./errors.js";
import type { MessageFrame } from "./frames.js";
import { ReceiveQueue, type Source } from "./receive-queue.js";
import type { ServerLink } from "./server-link.js";
import { Subscription } from "./subscription.js";

export const RETRY_MS = 1_000;
const POLL_MS = 10;

/** Resolves after a time. */
export function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Whether an error passes by itself. */
export function isPassing(error: ServerError): boolean {
  return [500, 502, 503, 504].includes(error.status);
}

/** All subscriptions of a client: started, paused, and started again on each new connection. */
export class SubscriptionSet {
  readonly #queues = new Set<ReceiveQueue>();

  constructor(
    private readonly currentLink: () => ServerLink | undefined,
    readonly answer: (message: MessageFrame, data: unknown) => void,
  ) {}

  add(source: Source, signal: AbortSignal | undefined): Subscription {
    const queue = new ReceiveQueue(this, source);
    this.#queues.add(queue);
    this.proceed(queue);
    return new Subscription(queue, (each) => this.stop(each), signal);
  }

  /** Begins all of them on a new connection. */
  resume(link: ServerLink): void {
    for (const queue of this.#queues) this.#start(link, queue);
  }

  /** Unsubscribes all, and waits until their queues are read, unless nobody reads them for `stallMs`. */
  async drain(deadline: number, stallMs: number): Promise<void> {
    const ended = [...this.#queues];
    await Promise.all(ended.map((queue) => this.stop(queue)));
    let pending = -1;
    let changedAt = Date.now();
    while (pending !== 0 && Date.now() < Math.min(deadline, changedAt + stallMs)) {
      const before = pending;
      pending = ended.reduce((sum, queue) => sum + queue.pending, 0);
      if (pending !== before) changedAt = Date.now();
      await delay(pending > 0 ? POLL_MS : 0);
    }
  }

  end(error: Error | undefined): void {
    for (const queue of this.#queues) {
      if (error instanceof ArtcafeError) queue.fail(error);
      else queue.end();
    }
    this.#queues.clear();
  }

  /** Unsubscribes for good; harmless if it has ended. */
  async stop(queue: ReceiveQueue): Promise<void> {
    if (!this.#queues.delete(queue)) return;
    // What was sent before the server confirms the end is still delivered.
    await this.#leave(queue);
    queue.end();
  }

  pause(queue: ReceiveQueue): void {
    if (queue.isEnded) this.#queues.delete(queue);
    void this.#leave(queue);
  }

  proceed(queue: ReceiveQueue): void {
    const link = this.currentLink();
    if (link) this.#start(link, queue);
  }

  #leave(queue: ReceiveQueue): Promise<void> {
    const link = this.currentLink();
    queue.turn = queue.turn.then(async () => {
      const isOver = queue.isPaused || queue.isEnded || !this.#queues.has(queue);
      // A subscription that the connection has lost has ended with it.
      if (link && !link.loss && isOver) await link.unsubscribe(queue).catch(() => undefined);
    });
    return queue.turn;
  }

  #start(link: ServerLink, queue: ReceiveQueue): void {
    const begin = async (): Promise<void> => {
      let wait: number | undefined = 0;
      while (wait !== undefined && this.#queues.has(queue) && !queue.isPaused && !link.loss) {
        if (wait > 0) await delay(wait);
        wait = await this.#tryStart(link, queue);
      }
    };
    queue.turn = queue.turn.then(begin);
  }

  /** Subscribes; returns the delay before the next attempt, undefined if there is to be none. */
  async #tryStart(link: ServerLink, queue: ReceiveQueue): Promise<number | undefined> {
    try {
      queue.bind(link.tenantId);
      await link.subscribe(queue);
      return undefined;
    } catch (error) {
      // The next connection begins it again.
      if (error instanceof ConnectionLost) return undefined;
      if (error instanceof ServerError) {
        if (error.code === "history_unavailable" && queue.mayGoLive) {
          queue.goLive();
          return 0;
        }
        if (isPassing(error)) return error.retryAfterMs ?? RETRY_MS;
      }
      this.#queues.delete(queue);
      queue.fail(error instanceof ArtcafeError ? error : new ArtcafeError(String(error)));
      return undefined;
    }
  }
}
