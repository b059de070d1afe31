import type { GapError } from "./errors.js";
import type { Ack } from "./message.js";
import type { Start, Target } from "./options.js";
import { MAX_PENDING, MAX_PENDING_SIZE, type Overflow, type Source } from "./receive-queue.js";
import type { Subscription } from "./subscription.js";

export interface PublishOptions {
  headers?: Record<string, string>;
  /** On a channel, the same id published again within two minutes is stored and delivered once. */
  messageId?: string;
}

export interface QueueOptions {
  /** The members of one queue group share the messages. */
  queue?: string;
  /** Aborting it ends the subscription, and the iteration. */
  signal?: AbortSignal;
  /** The bounds of the queue: 10,000 messages, and 64 Mi characters of JSON text. */
  maxPending?: number;
  maxPendingSize?: number;
  overflow?: Overflow;
}

export interface ChannelSubscribeOptions extends QueueOptions {
  /** The `seq` of the last message that was handled before: it continues with the next one. */
  resumeFrom?: number;
  /** Begins with the messages from this time on. */
  since?: Date;
  /** Begins with the last N messages. */
  last?: number;
  /** Is called with gaps, instead of throwing them while iterating. */
  onGap?: (gap: GapError) => void;
}

/** A channel: a managed topic whose messages are stored. Made by `client.channel`. */
export class Channel {
  readonly #target: Target;

  constructor(
    /** Its id or its name. */
    readonly name: string,
    private readonly publishTo: (target: Target, data: unknown, options: PublishOptions) => Promise<Ack>,
    private readonly subscribeTo: (source: Source, signal: AbortSignal | undefined) => Subscription,
  ) {
    this.#target = { text: name, isChannel: true };
  }

  /**
   * Publishes a message, and resolves when it is stored: `seq` is its place.
   *
   * Without a `messageId` it gets a random one; an error carries it, so that the message can be published again.
   */
  publish(data: unknown, options: PublishOptions = {}): Promise<Ack> {
    return this.publishTo(this.#target, data, options);
  }

  /**
   * The channel's messages, each once and in order, also over losses of the connection.
   *
   * Without `resumeFrom`, `since` and `last` it begins with new messages; the members of a `queue` group share those, and
   * miss what is published while none of them is connected.
   */
  subscribe(options: ChannelSubscribeOptions = {}): Subscription {
    const { resumeFrom, since, last, queue } = options;
    const places = [resumeFrom, since, last].filter((place) => place !== undefined);
    if (places.length > 1 || (places.length > 0 && queue !== undefined)) {
      throw new TypeError("give one of resumeFrom, since, last and queue");
    }
    const start: Start = {};
    if (resumeFrom !== undefined) start.since = resumeFrom + 1;
    else if (since !== undefined) start.since = since.toISOString();
    if (last !== undefined) start.last = last;
    const overflow = options.overflow ?? "pause";
    return this.subscribeTo(
      {
        target: this.#target,
        queue,
        start: queue === undefined ? start : undefined,
        required: places.length > 0,
        overflow: queue !== undefined && overflow === "pause" ? "drop_oldest" : overflow,
        maxPending: options.maxPending ?? MAX_PENDING,
        maxPendingSize: options.maxPendingSize ?? MAX_PENDING_SIZE,
        onGap: options.onGap,
      },
      options.signal,
    );
  }
}
