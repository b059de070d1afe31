import { Backoff } from "./backoff.js";
import { Channel, type PublishOptions, type QueueOptions } from "./channel.js";
import { Connection } from "./connection.js";
import { PublishUncertain } from "./error-codes.js";
import { ConnectionLost, ServerError } from "./errors.js";
import { Heartbeats } from "./heartbeats.js";
import { type Ack, encode, type Message } from "./message.js";
import { OfflineBuffer } from "./offline.js";
import { type ClientOptions, DEFAULT_TIMEOUT_MS, type Target } from "./options.js";
import { Presence } from "./presence.js";
import { MAX_PENDING, MAX_PENDING_SIZE, type Source } from "./receive-queue.js";
import { type Responder, serve } from "./responder.js";
import type { Dial, ServerLink } from "./server-link.js";
import type { State } from "./states.js";
import type { Subscription } from "./subscription.js";
import { delay, isPassing, RETRY_MS, SubscriptionSet } from "./subscription-set.js";

/** What is sent and not read in this time is not waited for by `drain`. */
const DRAIN_STALL_MS = 1_000;
const POLL_MS = 10;
/** Since a message was sent first; a channel's stream knows its id for 120 s. */
const REPEAT_WITHIN_MS = 110_000;

/** A client of an organization; made by `connect`. Subjects are names such as `orders.new`, data is any JSON value. */
export class Client {
  /** What the client says about itself, and who else is there. */
  readonly presence: Presence;
  readonly #options: ClientOptions;
  readonly #connection: Connection;
  readonly #subscriptions: SubscriptionSet;
  readonly #offline: OfflineBuffer;
  readonly #stateListeners = new Set<(state: State) => void>();
  readonly #serving = new Set<Promise<void>>();
  #inFlight = 0;

  /** @internal */
  constructor(options: ClientOptions, dial: Dial) {
    this.#options = options;
    if (options.onState) this.#stateListeners.add(options.onState);
    this.#connection = new Connection(
      {
        dial: () => dial(this.#onError),
        resume: (link) => {
          this.#resume(link);
        },
        stopReceiving: () => this.#stopReceiving(),
        end: (error) => {
          this.#subscriptions.end(error);
        },
        onState: (state) => {
          for (const listener of [...this.#stateListeners]) listener(state);
        },
      },
      new Backoff(options.firstBackoffMs ?? 500, options.maxBackoffMs ?? 30_000),
    );
    this.#subscriptions = new SubscriptionSet(
      () => this.#connection.link,
      (request, data) => {
        this.#connection.requireLink().send(request.reply ?? "", encode(data));
      },
    );
    this.#offline = new OfflineBuffer(options.offline);
    this.presence = new Presence(
      () => this.#connection.link,
      () => this.#connection.requireLink(),
      (source, signal) => this.#subscribeTo(source, signal),
    );
  }

  // -- the connection ----------------------------------------------------------------------------

  /** @internal */
  async open(): Promise<this> {
    const { signal } = this.#options;
    const abort = (): void => void this.close();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await this.#connection.open(this.#options.connectTimeoutMs ?? DEFAULT_TIMEOUT_MS);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
    return this;
  }

  /** Stops receiving, lets answering functions finish, waits for acknowledgements, and closes. */
  drain(): Promise<void> {
    return this.#connection.drain();
  }

  /** Closes at once. Publishes and requests without an answer fail. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  get state(): State {
    return this.#connection.state;
  }

  /** The id of the present connection; undefined while there is none. */
  get connectionId(): string | undefined {
    return this.#connection.link?.connectionId;
  }

  /** The id of the organization. Throws NotConnected while there is no connection. */
  get tenantId(): string {
    return this.#connection.requireLink().tenantId;
  }

  /** Calls a function with each new state; returns a function that ends that. */
  onState(listener: (state: State) => void): () => void {
    this.#stateListeners.add(listener);
    return () => void this.#stateListeners.delete(listener);
  }

  /** Resolves when there is a connection; rejects if the client is closed. */
  async waitConnected(): Promise<void> {
    await this.#connection.waitLink();
  }

  /** Resolves when the server has received everything that was sent before. */
  async flush(timeoutMs?: number): Promise<void> {
    const timeout = timeoutMs ?? this.#options.ackTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    await this.#connection.requireLink().flush(timeout);
  }

  // -- publish and request -----------------------------------------------------------------------

  /**
   * Publishes a message, and resolves when the broker has it.
   *
   * Rejects with a ServerError such as ForbiddenSubject; with NotConnected if nothing was sent; with PublishUncertain if
   * the message may or may not have arrived.
   */
  publish(subject: string, data: unknown, options: PublishOptions = {}): Promise<Ack> {
    return this.#publish({ text: subject, isChannel: false }, data, options);
  }

  /** Asks, and resolves with the data of the first answer. Rejects with NoResponders, or RequestTimeout. */
  async request(subject: string, data: unknown, options: { timeoutMs?: number } = {}): Promise<unknown> {
    const body = encode(data);
    const link = await this.#linkFor(body);
    return (await link.request(subject, body, options.timeoutMs ?? 5_000)).data;
  }

  /**
   * Subscribes to a subject or pattern: `for await (const message of client.subscribe("orders.>"))`.
   *
   * After a loss of the connection it begins again; what was published in between is missed, unlike with a channel.
   */
  subscribe(pattern: string, options: QueueOptions = {}): Subscription {
    return this.#subscribeTo(
      {
        target: { text: pattern, isChannel: false },
        queue: options.queue,
        overflow: options.overflow ?? "drop_oldest",
        maxPending: options.maxPending ?? MAX_PENDING,
        maxPendingSize: options.maxPendingSize ?? MAX_PENDING_SIZE,
      },
      options.signal,
    );
  }

  /**
   * Answers requests with what a function returns; the clients with the same `queue` share the requests.
   *
   * Undefined sends no answer. An error of the function is passed to `onError`, and the asker runs into its timeout.
   */
  respond(
    subject: string,
    responder: Responder,
    options: QueueOptions & { concurrency?: number } = {},
  ): Subscription {
    const subscription = this.subscribe(subject, { queue: "responders", ...options });
    const serving = serve(subscription, responder, options.concurrency ?? 16, this.#onError).finally(() =>
      this.#serving.delete(serving),
    );
    this.#serving.add(serving);
    return subscription;
  }

  /** A channel, by its id or its name. */
  channel(name: string): Channel {
    return new Channel(
      name,
      (target, data, options) => this.#publish(target, data, options),
      (source, signal) => this.#subscribeTo(source, signal),
    );
  }

  // ----------------------------------------------------------------------------------------------

  readonly #onError = (error: unknown): void => {
    if (this.#options.onError) this.#options.onError(error);
    else console.warn("@artcafe/client:", error);
  };

  #subscribeTo(source: Source, signal: AbortSignal | undefined): Subscription {
    if (this.#connection.state === "closed") this.#connection.requireLink();
    return this.#subscriptions.add(source, signal);
  }

  /** The link; with an offline buffer, as soon as there is one. */
  async #linkFor(body: string): Promise<ServerLink> {
    if (this.#connection.link ?? !this.#offline.isEnabled) return this.#connection.requireLink();
    return this.#offline.hold(body.length, () => this.#connection.waitLink());
  }

  async #publish(target: Target, data: unknown, options: PublishOptions): Promise<Ack> {
    const body = encode(data);
    const messageId = options.messageId ?? (target.isChannel ? randomId() : undefined);
    this.#inFlight += 1;
    try {
      let firstSentAt: number | undefined;
      for (;;) {
        const link = await this.#linkFor(body);
        firstSentAt ??= Date.now();
        if (target.isChannel && Date.now() - firstSentAt > REPEAT_WITHIN_MS) {
          throw uncertain("sent too long ago to be published again", messageId);
        }
        const ack = await this.#tryPublish(link, target, body, { ...options, messageId });
        if (ack) return ack;
      }
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Publishes; undefined if it is to be tried again. */
  async #tryPublish(
    link: ServerLink,
    target: Target,
    body: string,
    options: { headers?: Record<string, string>; messageId: string | undefined },
  ): Promise<Ack | undefined> {
    const { headers, messageId } = options;
    try {
      const { seq, duplicate } = await link.publish(target, body, headers, messageId);
      return { seq, duplicate: duplicate ?? false };
    } catch (error) {
      if (error instanceof ConnectionLost) {
        if (!this.#offline.isEnabled) throw uncertain(error.message, messageId);
        if (this.#connection.link === link) await this.#connection.waitChange();
        return undefined;
      }
      if (error instanceof ServerError) {
        error.messageId = messageId;
        if (this.#offline.isEnabled && isPassing(error)) {
          await delay(error.retryAfterMs ?? RETRY_MS);
          return undefined;
        }
      }
      throw error;
    }
  }

  #resume(link: ServerLink): void {
    this.#subscriptions.resume(link);
    this.presence.resume(link);
    new Heartbeats(link, () => {
      this.presence.beat(link);
    });
  }

  async #stopReceiving(): Promise<void> {
    const deadline = Date.now() + (this.#options.drainTimeoutMs ?? DEFAULT_TIMEOUT_MS);
    const left = (): number => Math.max(100, deadline - Date.now());
    await this.#subscriptions.drain(deadline, DRAIN_STALL_MS);
    await Promise.race([Promise.all(this.#serving), delay(left())]);
    while (this.#inFlight > 0 && Date.now() < deadline) await delay(POLL_MS);
    try {
      await this.#connection.link?.flush(left());
    } catch (error) {
      this.#onError(error);
    }
  }
}

function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export type { Message };

function uncertain(message: string, messageId: string | undefined): PublishUncertain {
  const error = new PublishUncertain({ message });
  error.messageId = messageId;
  return error;
}
