import {
  type ConnectionOptions,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  nkeyAuthenticator,
  type Subscription,
} from "@nats-io/nats-core";

import { createError } from "./create-error.js";
import { ChannelNotFound, ForbiddenSubject, NoResponders, PublishUncertain, RequestTimeout } from "./error-codes.js";
import { ArtcafeError, ConnectionFailed, ConnectionLost } from "./errors.js";
import type { AnswerFrame, MessageFrame } from "./frames.js";
import { isChannelId } from "./names.js";
import { ChannelReader } from "./nats-channel-reader.js";
import { decode, publishersHeaders, toHeaders, translate } from "./nats-messages.js";
import { channelSubject, publishSubject, receivedName, subscribeSubjects } from "./nats-names.js";
import type { KeyPair } from "./nkeys.js";
import type { Loss, Report, RosterEntry, Target } from "./options.js";
import type { ReceiveQueue } from "./receive-queue.js";
import { CLUSTER_STABLE_AFTER_MS, STABLE_AFTER_MS, type ServerLink } from "./server-link.js";

// The connection has ended when the third PING is due and none was answered: with other servers to go to, within 2.3 s.
const PING_INTERVAL_MS = 10_000;
const CLUSTER_PING_INTERVAL_MS = 750;
const CLOSE_TIMEOUT_MS = 2_000;

/** Connects to the broker: `connect` of `@nats-io/transport-node`, or `wsconnect` of `@nats-io/nats-core`. */
export type NatsConnect = (options: ConnectionOptions) => Promise<NatsConnection>;

export interface NatsLinkOptions {
  connect: NatsConnect;
  server: string;
  /** Whether there are other servers to go to. */
  hasOthers: boolean;
  tenantId: string;
  clientId: string;
  seed: string;
  key: KeyPair;
  /** Whether messages are signed, so that others see whom they come from. */
  sign: boolean;
  /** Reads the roster in another way: no subject of the broker answers for it. */
  readRoster: (() => Promise<RosterEntry[]>) | undefined;
  attemptTimeoutMs: number;
  answerTimeoutMs: number;
  /** Is called when the broker refuses the key: whether that is final. */
  onRefused: () => "lost" | "refused";
  onError: (error: unknown) => void;
}

/** What waits until the broker has processed it; the broker says first what of it it refuses. */
interface Waiting {
  subject: string;
  refuse: (error: Error) => void;
}

/** One connection to the broker, in the organization's account. */
export class NatsLink implements ServerLink {
  readonly heartbeatIntervalMs = 30_000;
  readonly stableAfterMs: number;
  readonly tenantId: string;
  connectionId = "";
  lastFrameAt = Date.now();
  loss: Loss | undefined;
  readonly lost: Promise<Loss>;
  #setLost!: (loss: Loss) => void;
  #nc: NatsConnection | undefined;
  #options: NatsLinkOptions;
  #waiting = new Set<Waiting>();
  #subscriptions = new Map<ReceiveQueue, Subscription[]>();
  #readers = new Map<ReceiveQueue, ChannelReader>();
  /** Resolves when the last message before was given to the NATS library. */
  #sent: Promise<unknown> = Promise.resolve();

  private constructor(options: NatsLinkOptions) {
    this.#options = options;
    this.tenantId = options.tenantId;
    this.stableAfterMs = options.hasOthers ? CLUSTER_STABLE_AFTER_MS : STABLE_AFTER_MS;
    this.lost = new Promise((done) => (this.#setLost = done));
  }

  /** Connects with the client's key. If that fails, `loss` of the returned link says why. */
  static async dial(options: NatsLinkOptions): Promise<NatsLink> {
    const link = new NatsLink(options);
    try {
      link.#begin(
        await options.connect({
          servers: options.server,
          authenticator: nkeyAuthenticator(new TextEncoder().encode(options.seed)),
          inboxPrefix: inboxPrefix(options.clientId),
          name: "artcafe-client",
          reconnect: false,
          timeout: options.attemptTimeoutMs,
          pingInterval: options.hasOthers ? CLUSTER_PING_INTERVAL_MS : PING_INTERVAL_MS,
          maxPingOut: 2,
        }),
      );
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      if (/authorization/i.test(`${reason.name} ${reason.message}`)) {
        const refused = createError("authentication_failed", { message: "the broker refused the key" });
        link.#end({ event: options.onRefused(), error: refused });
      } else {
        const failed = new ConnectionFailed(`cannot reach ${options.server}: ${reason.message}`);
        link.#end({ event: "lost", error: failed });
      }
    }
    return link;
  }

  #begin(nc: NatsConnection): void {
    this.#nc = nc;
    // As the platform names it.
    this.connectionId = `nats:${nc.info?.server_id ?? ""}:${nc.info?.client_id ?? ""}`;
    void this.#watch(nc);
    void nc.closed().then((error) => {
      const reason = error instanceof Error ? error.message : "the connection was lost";
      this.#end({ event: "lost", error: new ConnectionLost(reason) });
    });
    this.report({});
  }

  // -- sending -----------------------------------------------------------------------------------

  async publish(
    target: Target,
    body: string,
    headers: Record<string, string> | undefined,
    messageId: string | undefined,
  ): Promise<AnswerFrame> {
    const subject = this.#subject(target);
    const { channel } = receivedName(this.tenantId, subject);
    if (channel !== undefined) return this.#publishToChannel(subject, body, headers, messageId);
    const nc = this.#connection();
    await this.#confirmed(subject, () =>
      this.#signed(subject, body, headers, (options) => {
        nc.publish(subject, body, options);
        return nc.flush();
      }),
    );
    return { type: "published" };
  }

  send(subject: string, body: string): void {
    const nc = this.#connection();
    // The subject of an answer is the one that the asker named.
    void this.#signed(subject, body, undefined, (options) => {
      nc.publish(subject, body, options);
      return Promise.resolve();
    }).catch(() => undefined);
  }

  async request(text: string, body: string, timeoutMs: number): Promise<AnswerFrame> {
    const subject = publishSubject(this.tenantId, text);
    const nc = this.#connection();
    const timeout = Math.max(1, timeoutMs);
    const reply = await this.#confirmed(subject, () =>
      this.#signed(subject, body, undefined, (options) => nc.request(subject, body, { ...options, timeout })),
    );
    return { type: "reply", data: decode(reply) };
  }

  report(report: Report): void {
    const { status, capabilities, metadata } = report;
    this.#tell("_PRESENCE", { type: "connect", status, capabilities, metadata });
    this.heartbeat(report);
  }

  heartbeat(report: Report): void {
    this.#tell("_HEARTBEAT", report);
    // Its answer is a sign of life.
    void this.flush(this.#options.answerTimeoutMs).catch(() => undefined);
  }

  roster(): Promise<RosterEntry[]> {
    const { readRoster } = this.#options;
    if (readRoster) return readRoster();
    return Promise.reject(new ArtcafeError("the roster is read over WebSocket: pass its address as `url`"));
  }

  async flush(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new ConnectionLost("the broker does not answer"));
      }, timeoutMs);
    });
    try {
      await this.#confirmed("", () => Promise.race([this.#connection().flush(), late]));
    } finally {
      clearTimeout(timer);
    }
  }

  // -- subscriptions -----------------------------------------------------------------------------

  async subscribe(feed: ReceiveQueue): Promise<void> {
    const nc = this.#connection();
    const { start, target } = feed;
    if (start) {
      const subject = this.#subject(target);
      const guard = <T>(on: string, work: () => Promise<T>): Promise<T> => this.#confirmed(on, work);
      const inbox = inboxPrefix(this.#options.clientId);
      const reader = new ChannelReader({ nc, inboxPrefix: inbox, subject, channel: target.text, feed, guard });
      this.#readers.set(feed, reader);
      try {
        await reader.start(start);
      } catch (error) {
        this.#readers.delete(feed);
        reader.stop();
        throw error;
      }
      return;
    }
    const subjects = target.isChannel ? [this.#subject(target)] : subscribeSubjects(this.tenantId, target.text);
    const callback = (error: Error | null, message: Msg): void => {
      if (!error) feed.deliver(this.#frame(message), message.data.length);
    };
    const options = { callback, ...(feed.queue === undefined ? {} : { queue: feed.queue }) };
    for (const subject of subjects) {
      await this.#confirmed(subject, () => {
        const all = this.#subscriptions.get(feed) ?? [];
        this.#subscriptions.set(feed, [...all, nc.subscribe(subject, options)]);
        return nc.flush();
      });
    }
    feed.started();
  }

  async unsubscribe(feed: ReceiveQueue): Promise<void> {
    this.#readers.get(feed)?.stop();
    this.#readers.delete(feed);
    const subscriptions = this.#subscriptions.get(feed) ?? [];
    this.#subscriptions.delete(feed);
    // What was sent before the broker has processed it is still delivered.
    await Promise.allSettled(subscriptions.map((each) => each.drain()));
  }

  // -- the connection ----------------------------------------------------------------------------

  abort(reason: string): void {
    this.#end({ event: "lost", error: new ConnectionLost(reason) });
    void this.#nc?.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    if (this.loss) return;
    for (const reader of this.#readers.values()) reader.stop();
    const timer = setTimeout(() => {
      this.abort("closed");
    }, CLOSE_TIMEOUT_MS);
    await this.#sent;
    this.#tell("_PRESENCE", { type: "disconnect" });
    await this.#nc?.flush().catch(() => undefined);
    await this.#nc?.close().catch(() => undefined);
    await this.lost;
    clearTimeout(timer);
  }

  #connection(): NatsConnection {
    if (this.loss ?? !this.#nc) throw new ConnectionLost(this.loss?.error.message ?? "there is no connection");
    return this.#nc;
  }

  #tell(kind: string, fields: object): void {
    if (this.loss) return;
    const { tenantId, clientId } = this.#options;
    this.#nc?.publish(`${kind}.tenant.${tenantId}.client.${clientId}`, JSON.stringify(fields));
  }

  /** Waits for an answer of the broker, or for its refusal of the subject. */
  async #confirmed<T>(subject: string, work: () => Promise<T>): Promise<T> {
    const waiting: Waiting = { subject, refuse: () => undefined };
    const refused = new Promise<never>((_, reject) => (waiting.refuse = reject));
    refused.catch(() => undefined);
    this.#waiting.add(waiting);
    try {
      const result = await Promise.race([work(), refused]);
      this.lastFrameAt = Date.now();
      // A refusal that came before the answer is passed on by now.
      await Promise.race([new Promise((done) => setTimeout(done)), refused]);
      return result;
    } catch (error) {
      throw translate(error);
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  async #watch(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      if (status.type !== "error") continue;
      const { name, message, subject } = status.error as Error & { subject?: string };
      if (name !== "PermissionViolationError") continue;
      const refused = new ForbiddenSubject({ message });
      const hit = [...this.#waiting].filter((each) => each.subject === subject);
      for (const each of hit) each.refuse(refused);
      if (hit.length === 0) this.#options.onError(refused);
    }
  }

  #end(loss: Loss): void {
    if (this.loss) return;
    this.loss = loss;
    for (const each of this.#waiting) each.refuse(new ConnectionLost(loss.error.message));
    this.#setLost(loss);
  }

  // -- messages ----------------------------------------------------------------------------------

  async #publishToChannel(
    subject: string,
    body: string,
    headers: Record<string, string> | undefined,
    messageId: string | undefined,
  ): Promise<AnswerFrame> {
    const nc = this.#connection();
    // Ids belong to their publisher: another client's message with the same id is another message.
    const id = messageId === undefined ? {} : { "Nats-Msg-Id": `${this.#options.key.publicKey}.${messageId}` };
    const timeout = this.#options.answerTimeoutMs;
    let reply: Msg;
    try {
      reply = await this.#confirmed(subject, () =>
        this.#signed(subject, body, { ...headers, ...id }, (options) => nc.request(subject, body, { ...options, timeout })),
      );
    } catch (error) {
      if (!(error instanceof NoResponders) && !(error instanceof RequestTimeout)) throw error;
      throw new PublishUncertain({ message: "the channel's stream did not confirm the message" });
    }
    const { seq, duplicate } = decode(reply) as { seq?: number; duplicate?: boolean };
    if (seq === undefined) throw new PublishUncertain({ message: "the channel's stream refused the message" });
    return { type: "published", seq, duplicate: duplicate ?? false };
  }

  /** Sends a message, signed if this client signs. Messages are sent in the order of the calls. */
  #signed<T>(
    subject: string,
    body: string,
    headers: Record<string, string> | undefined,
    send: (options: { headers?: MsgHdrs }) => Promise<T>,
  ): Promise<T> {
    const { sign, key, clientId } = this.#options;
    if (!sign) return send(headers ? { headers: toHeaders(headers) } : {});
    const signing = key.signMessage(clientId, subject, body);
    const before = this.#sent;
    const sent = signing.then(async (signature) => {
      await before;
      // In an object, since the next message does not wait for the answer to this one.
      return { answer: send({ headers: toHeaders({ ...headers, "Artcafe-Signature": signature }) }) };
    });
    this.#sent = sent.catch(() => undefined);
    return sent.then(({ answer }) => answer);
  }

  #subject(target: Target): string {
    if (!target.isChannel) return publishSubject(this.tenantId, target.text);
    if (!isChannelId(target.text)) {
      throw new ChannelNotFound({ message: "over direct NATS a channel is named by its id, not by its name" });
    }
    return channelSubject(this.tenantId, target.text);
  }

  #frame(message: Msg): MessageFrame {
    const { name, channel } = receivedName(this.tenantId, message.subject);
    return {
      type: "message",
      subject: name,
      data: decode(message),
      timestamp: new Date().toISOString(),
      headers: publishersHeaders(message.headers),
      ...(channel === undefined ? {} : { channel }),
      ...(message.reply ? { reply: message.reply } : {}),
    };
  }
}

/** The prefix of a client's own inboxes. */
function inboxPrefix(clientId: string): string {
  return `_INBOX.${clientId}`;
}
