// Reads a channel's history and what follows, over JetStream. The messages are pulled, as many as the subscription has
// room for, so a slow program holds up nothing but itself.

import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/nats-core";

import { HistoryUnavailable, StreamUnavailable } from "./error-codes.js";
import { ServerError } from "./errors.js";
import { decode, publishersHeaders } from "./nats-messages.js";
import type { Start } from "./options.js";
import type { ReceiveQueue } from "./receive-queue.js";

const STREAM = "CHANNELS";
const API = "$JS.PLATFORM.API";
/** How many messages of one channel the stream keeps. */
const MESSAGES_PER_CHANNEL = 10_000;
const MAX_BATCH = 256;
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 5_000;
const API_TIMEOUT_MS = 5_000;
const FULL_POLL_MS = 20;
const RETRY_MS = 500;
/** The broker deletes the consumer of a reader that does not come back. */
const INACTIVE_THRESHOLD_MS = 60_000;
const NS_PER_MS = 1_000_000;

type Policy = Record<string, string | number>;

/** What is read, and over which connection; `guard` rejects when the broker refuses a subject. */
export interface ChannelSource {
  nc: NatsConnection;
  inboxPrefix: string;
  subject: string;
  channel: string;
  feed: ReceiveQueue;
  guard: <T>(subject: string, work: () => Promise<T>) => Promise<T>;
}

/** What a delivery says of itself: its number in the stream and of this consumer, and when it was stored. */
interface Place {
  seq: number;
  delivery: number;
  timestamp: string;
}

/** Delivers the messages of one channel to one subscription, in order, each once. */
export class ChannelReader {
  #start: Start = {};
  #nextSeq: number | undefined;
  #consumer = "";
  #delivery = 0;
  /** Messages that were asked for and have not arrived. */
  #expected = 0;
  #inbox: Subscription | undefined;
  #heardAt = 0;
  #isBroken = false;
  #isStopped = false;
  #wake: (() => void) | undefined;

  constructor(private readonly source: ChannelSource) {}

  /** Begins. Rejects with HistoryUnavailable if the client may not read the stream, StreamUnavailable while it is away. */
  async start(start: Start): Promise<void> {
    this.#start = start;
    const isNow = start.since === undefined && !start.last;
    const after = await this.#createConsumer(await this.#policy());
    if (isNow) this.#nextSeq = after + 1;
    else if (typeof start.since === "number") {
      this.#nextSeq = start.since;
      await this.#checkGap(start.since);
    }
    this.source.feed.started(isNow ? after : undefined);
    void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
    this.#leave();
    this.#wake?.();
  }

  // -- the consumer ------------------------------------------------------------------------------

  async #policy(): Promise<Policy> {
    const { since, last } = this.#start;
    const from = (seq: number): Policy => ({ deliver_policy: "by_start_sequence", opt_start_seq: Math.max(1, seq) });
    if (this.#nextSeq !== undefined) return from(this.#nextSeq);
    if (typeof since === "string") return { deliver_policy: "by_start_time", opt_start_time: since };
    if (since !== undefined) return from(since);
    if (last) return from(await this.#seqFromEnd(last));
    return { deliver_policy: "new" };
  }

  /** Returns the last `seq` before the first message that will be delivered. */
  async #createConsumer(policy: Policy): Promise<number> {
    this.#leave();
    const name = `sdk-${createInbox("x").slice(2)}`;
    const inbox = createInbox(this.source.inboxPrefix);
    this.#consumer = name;
    this.#delivery = this.#expected = 0;
    this.#isBroken = false;
    // A subscription of its own for each consumer: what is late for another one is not mixed in.
    this.#inbox = this.source.nc.subscribe(inbox, {
      callback: (error, message) => {
        if (!error) this.#receive(message);
      },
    });
    const config = {
      name,
      ack_policy: "none",
      replay_policy: "instant",
      filter_subject: this.source.subject,
      inactive_threshold: INACTIVE_THRESHOLD_MS * NS_PER_MS,
      mem_storage: true,
      ...policy,
    };
    const created = (await this.#call(`CONSUMER.CREATE.${STREAM}.${name}.${this.source.subject}`, {
      stream_name: STREAM,
      config,
      action: "create",
    })) as { delivered?: { stream_seq?: number } };
    return created.delivered?.stream_seq ?? 0;
  }

  async #call(call: string, body?: object): Promise<unknown> {
    const answer = decode(await this.#request(call, body)) as { error?: { description?: string } };
    if (answer.error) throw new StreamUnavailable({ message: answer.error.description ?? "" });
    return answer;
  }

  async #request(call: string, body?: object): Promise<Msg> {
    const subject = `${API}.${call}`;
    const payload = body === undefined ? "" : JSON.stringify(body);
    try {
      return await this.source.guard(subject, () => this.source.nc.request(subject, payload, { timeout: API_TIMEOUT_MS }));
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      if (error.code === "forbidden_subject") {
        throw new HistoryUnavailable({ message: "the client may not read the channel's history over NATS" });
      }
      throw new StreamUnavailable({ message: "the channel's stream does not answer" });
    }
  }

  #leave(): void {
    this.#inbox?.unsubscribe();
    this.#inbox = undefined;
    const consumer = this.#consumer;
    this.#consumer = "";
    // Its answer is of no interest.
    if (consumer && !this.source.nc.isClosed()) this.source.nc.publish(`${API}.CONSUMER.DELETE.${STREAM}.${consumer}`);
  }

  /**
   * Tells of messages that are not stored any more, as the gateway does.
   *
   * The stream removes the oldest messages first, of a channel or of all, and does not record what. While the message
   * before `since` is stored, nothing is missing.
   */
  async #checkGap(since: number): Promise<void> {
    const { state } = (await this.#call(`STREAM.INFO.${STREAM}`)) as { state: { first_seq: number; last_seq: number } };
    if (since > state.last_seq + 1) {
      // The stream was lost, or is an older one from a backup.
      this.#nextSeq = state.last_seq + 1;
      this.#isBroken = true;
      this.source.feed.deliverGap(this.source.channel, state.last_seq + 1, since - 1);
      return;
    }
    const previous = since > 1 ? await this.#directGet({ seq: since - 1 }) : undefined;
    if (previous?.headers?.get("Nats-Subject") === this.source.subject) return;
    const { seq: first, count } = await this.#countFrom(1);
    const isFull = count >= MESSAGES_PER_CHANNEL && first > since;
    if (state.first_seq > since || isFull) {
      this.source.feed.deliverGap(this.source.channel, since, (count > 0 ? first : state.first_seq) - 1);
    }
  }

  /** The `seq` of the first of the newest `count` messages, by bisection; 1 if there are no more. */
  async #seqFromEnd(count: number): Promise<number> {
    const all = await this.#countFrom(1);
    if (all.count <= count) return 1;
    let low = all.seq;
    let high = await this.#lastSeq();
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      const { seq, count: following } = await this.#countFrom(middle);
      if (following < count) {
        high = middle - 1;
        continue;
      }
      low = Math.max(seq, middle);
      if (following === count) break;
    }
    return low;
  }

  async #countFrom(seq: number): Promise<{ seq: number; count: number }> {
    const reply = await this.#directGet({ seq, next_by_subj: this.source.subject, batch: 1 });
    if (!reply?.headers) return { seq, count: 0 };
    const { headers } = reply;
    return { seq: Number(headers.get("Nats-Sequence")), count: Number(headers.get("Nats-Num-Pending")) + 1 };
  }

  async #lastSeq(): Promise<number> {
    const reply = await this.#directGet({ last_by_subj: this.source.subject });
    return Number(reply?.headers?.get("Nats-Sequence") ?? 0);
  }

  async #directGet(query: object): Promise<Msg | undefined> {
    const reply = await this.#request(`DIRECT.GET.${STREAM}`, query);
    return reply.headers?.has("Nats-Sequence") ? reply : undefined;
  }

  // -- reading -----------------------------------------------------------------------------------

  async #run(): Promise<void> {
    // On the next connection the subscription begins again.
    while (!this.#isStopped && !this.source.nc.isClosed()) {
      try {
        await this.#pull();
      } catch {
        this.#isBroken = true;
        await this.#wait(RETRY_MS);
      }
    }
  }

  async #pull(): Promise<void> {
    if (this.#isBroken) await this.#createConsumer(await this.#policy());
    const room = this.source.feed.room - this.#expected;
    if (room <= 0 && this.#expected === 0) {
      await this.#wait(FULL_POLL_MS);
      return;
    }
    if (room > 0 && this.#expected <= MAX_BATCH / 2) this.#ask(Math.min(MAX_BATCH, room));
    await this.#wait(HEARTBEAT_MS);
    if (Date.now() - this.#heardAt > HEARTBEAT_MS * 2.5) this.#isBroken = true;
  }

  /** Asks for messages; the broker sends them as they are stored. */
  #ask(count: number): void {
    if (this.#expected === 0) this.#heardAt = Date.now();
    this.#expected += count;
    const query = { batch: count, expires: EXPIRES_MS * NS_PER_MS, idle_heartbeat: HEARTBEAT_MS * NS_PER_MS };
    const reply = this.#inbox?.getSubject() ?? "";
    this.source.nc.publish(`${API}.CONSUMER.MSG.NEXT.${STREAM}.${this.#consumer}`, JSON.stringify(query), { reply });
  }

  #receive(message: Msg): void {
    this.#heardAt = Date.now();
    const code = message.data.length === 0 ? (message.headers?.code ?? 0) : 0;
    if (code > 0) {
      this.#onStatus(code, Number(message.headers?.get("Nats-Pending-Messages") || this.#expected));
      return;
    }
    const place = parsePlace(message.reply ?? "");
    if (!place || this.#isBroken || this.#isStopped) return;
    this.#delivery += 1;
    if (place.delivery !== this.#delivery) {
      // A delivery was lost on the way: read again from there.
      this.#isBroken = true;
      this.#wake?.();
      return;
    }
    this.#expected -= 1;
    if (this.#expected <= MAX_BATCH / 2) this.#wake?.();
    if (this.#nextSeq !== undefined && place.seq < this.#nextSeq) return;
    this.#nextSeq = place.seq + 1;
    this.source.feed.deliver(
      {
        type: "message",
        subject: message.subject,
        channel: this.source.channel,
        data: decode(message),
        timestamp: place.timestamp,
        headers: publishersHeaders(message.headers),
        seq: place.seq,
      },
      message.data.length,
    );
  }

  /** 100 is a sign of life; 404 and 408 end a request; anything else ends the consumer. */
  #onStatus(code: number, pending: number): void {
    if (code === 404 || code === 408) this.#expected = Math.max(0, this.#expected - pending);
    else if (code !== 100) this.#isBroken = true;
    this.#wake?.();
  }

  /** Waits for a time, or until there is something to do. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }
}

/** A reply subject of JetStream, in its older form or the one with a domain. */
function parsePlace(reply: string): Place | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  const [seq, delivery, storedAt] = tokens.slice(tokens.length === 9 ? 5 : 7);
  if (storedAt === undefined) return undefined;
  const timestamp = new Date(Number(storedAt) / NS_PER_MS).toISOString();
  return { seq: Number(seq), delivery: Number(delivery), timestamp };
}
