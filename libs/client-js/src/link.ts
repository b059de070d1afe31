import { createError } from "./create-error.js";
import { ConnectionFailed, ConnectionLost, type ServerError } from "./errors.js";
import { Farewell } from "./farewell.js";
import { type AnswerFrame, type ErrorFrame, type Frame, type MessageFrame, parseFrame } from "./frames.js";
import type { KeyPair } from "./nkeys.js";
import type {
  Loss,
  Report,
  RosterEntry,
  Start,
  Target,
  WebSocketConstructor,
  WebSocketLike,
} from "./options.js";
import type { ReceiveQueue } from "./receive-queue.js";
import { type Route, Routes } from "./routes.js";
import { STABLE_AFTER_MS } from "./server-link.js";

const CLOSE_TIMEOUT_MS = 2_000;
/** The subprotocol in which each line of a frame is a message. */
const BATCH = "artcafe.v1.batch";
/** In characters; the server handles larger frames in several turns. */
const MAX_JOINED = 16_384;
/** The largest page that the server sends. */
const ROSTER_PAGE = 200;

export interface LinkOptions {
  url: string;
  clientId: string;
  key: KeyPair;
  WebSocket: WebSocketConstructor;
  attemptTimeoutMs: number;
  answerTimeoutMs: number;
  onError: (error: ServerError) => void;
}

interface Pending {
  resolve: (answer: AnswerFrame) => void;
  reject: (error: Error) => void;
  /** Is called before any later frame is read, unlike what awaits the answer. */
  onAnswer: ((answer: AnswerFrame) => void) | undefined;
  timer: ReturnType<typeof setTimeout>;
}

/** The address of a client's WebSocket below a gateway's. */
export function clientUrl(url: string, clientId: string): string {
  const base = url.replace(/\/+$/, "").replace(/^http/, "ws");
  return base.includes("/ws/client/") ? base : `${base}/ws/client/${encodeURIComponent(clientId)}`;
}

/** One WebSocket, authenticated once `dial` returns. Its methods reject with ServerError and ConnectionLost. */
export class Link {
  tenantId = "";
  connectionId = "";
  heartbeatIntervalMs = 30_000;
  readonly stableAfterMs = STABLE_AFTER_MS;
  /** When the last frame arrived. */
  lastFrameAt = Date.now();
  loss: Loss | undefined;
  /** Resolves when the connection has ended. */
  readonly lost: Promise<Loss>;
  #setLost!: (loss: Loss) => void;
  #setWelcome!: () => void;
  #welcome: Promise<void>;
  #isAuthenticated = false;
  #ws: WebSocketLike;
  #options: LinkOptions;
  #farewell = new Farewell();
  #nextId = 1;
  #answers = new Map<number, Pending>();
  #pongs: (() => void)[] = [];
  /** What is sent at the end of this microtask. */
  #lines: string[] = [];
  #routes = new Routes("");

  private constructor(options: LinkOptions) {
    this.#options = options;
    this.lost = new Promise((done) => (this.#setLost = done));
    this.#welcome = new Promise((done) => (this.#setWelcome = done));
    this.#ws = new options.WebSocket(clientUrl(options.url, options.clientId), BATCH);
    this.#ws.onmessage = (event: { data: unknown }) => {
      this.#receiveFrame(event.data);
    };
    this.#ws.onclose = (event: { code: number; reason: string }) => {
      this.#end(this.#farewell.loss(event.code, event.reason));
    };
    // `onclose` follows.
    this.#ws.onerror = () => undefined;
  }

  /** Connects and answers the challenge. If that fails, `loss` of the returned link says why. */
  static async dial(options: LinkOptions): Promise<Link> {
    const link = new Link(options);
    const timer = setTimeout(() => {
      link.abort(`no connection to ${options.url} in ${options.attemptTimeoutMs} ms`);
    }, options.attemptTimeoutMs);
    await Promise.race([link.#welcome, link.lost]);
    clearTimeout(timer);
    return link;
  }

  // -- sending -----------------------------------------------------------------------------------

  publish(
    target: Target,
    body: string,
    headers: Record<string, string> | undefined,
    messageId: string | undefined,
  ): Promise<AnswerFrame> {
    const named = target.isChannel ? { channel: target.text } : { subject: target.text };
    return this.#call("publish", { ...named, headers, message_id: messageId }, { body });
  }

  /** Publishes without an acknowledgement. */
  send(subject: string, body: string): void {
    this.#send("publish", { subject }, body);
  }

  request(
    subject: string,
    body: string,
    timeoutMs: number,
  ): Promise<AnswerFrame> {
    const timeout = Math.max(1, Math.trunc(timeoutMs));
    const options = { body, timeoutMs: timeout + this.#options.answerTimeoutMs };
    return this.#call("request", { subject, timeout_ms: timeout }, options);
  }

  report(report: Report): void {
    const { status, capabilities, metadata } = report;
    this.#send("presence", { status, capabilities, metadata });
  }

  heartbeat(report: Report): void {
    this.#send("heartbeat", { status: report.status, metrics: report.metrics });
  }

  /** Who is in the organization, read page by page. */
  async roster(): Promise<RosterEntry[]> {
    const members: RosterEntry[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.#call("roster", { limit: ROSTER_PAGE, cursor });
      members.push(...(page.roster ?? []));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    return members;
  }

  /** Returns when the server has received everything that was sent before. */
  flush(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new ConnectionLost("the server does not answer"));
      }, timeoutMs);
      const lost = (loss: Loss): void => {
        clearTimeout(timer);
        reject(new ConnectionLost(loss.error.message));
      };
      void this.lost.then(lost);
      this.#ping(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  // -- subscriptions -----------------------------------------------------------------------------

  async subscribe(feed: ReceiveQueue): Promise<void> {
    const { route, isNew } = this.#routes.join(feed);
    const { start } = feed;
    try {
      if (isNew || start) this.#subscribe(route, feed, start);
      await route.ready;
    } catch (error) {
      this.#routes.leave(feed);
      throw error;
    }
    if (!feed.isConfirmed) feed.started();
  }

  async unsubscribe(feed: ReceiveQueue): Promise<void> {
    const route = this.#routes.leave(feed);
    if (route) await this.#call("unsubscribe", route.fields);
  }

  #subscribe(route: Route, feed: ReceiveQueue, start: Start | undefined): void {
    let fields: Start = {};
    if (start) {
      fields = start.since === undefined ? { last: start.last ?? 0 } : { since: start.since };
      route.waiting.add(feed);
    }
    // Subscribing again moves the socket's one place in the channel: no other subscription may miss anything.
    const earliest = route.earliestSeq;
    if (typeof fields.since === "number") fields = { since: Math.min(fields.since, earliest ?? fields.since) };
    route.ready = this.#call("subscribe", { ...route.fields, ...fields }, {
      onAnswer: ({ channel_id: channelId, seq }) => {
        feed.started(seq);
        if (this.#routes.confirm(route, feed, channelId, seq)) this.#moveBack(route, feed);
      },
    });
    // Is awaited by the subscriptions of the route.
    route.ready.catch(() => undefined);
  }

  #moveBack(route: Route, feed: ReceiveQueue): void {
    this.#subscribe(route, feed, { since: route.earliestSeq ?? 0 });
    // The next connection begins each of them at its own place.
    route.ready.catch(() => {
      this.abort("a place in a channel was not restored");
    });
  }

  // -- the connection ----------------------------------------------------------------------------

  /** Ends a connection that does not answer. */
  abort(reason: string): void {
    const error = this.#isAuthenticated ? new ConnectionLost(reason) : new ConnectionFailed(reason);
    this.#end({ event: "lost", error });
    this.#ws.close();
  }

  /** Says goodbye and ends the connection. */
  async close(): Promise<void> {
    if (this.loss) return;
    const timer = setTimeout(() => {
      this.abort("closed");
    }, CLOSE_TIMEOUT_MS);
    this.#sendLines();
    this.#ws.close(1000);
    await this.lost;
    clearTimeout(timer);
  }

  #call(
    type: string,
    fields: object,
    options: { body?: string; timeoutMs?: number; onAnswer?: (answer: AnswerFrame) => void } = {},
  ): Promise<AnswerFrame> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.abort("the server does not answer");
      }, options.timeoutMs ?? this.#options.answerTimeoutMs);
      this.#answers.set(id, { resolve, reject, onAnswer: options.onAnswer, timer });
      try {
        this.#send(type, { ...fields, id }, options.body);
      } catch (error) {
        this.#settle(id)?.reject(error as Error);
      }
    });
  }

  #ping(onPong: () => void): void {
    this.#send("ping", {});
    this.#pongs.push(onPong);
  }

  #send(type: string, fields: object, body?: string): void {
    if (this.loss) throw new ConnectionLost(this.loss.error.message);
    const head = JSON.stringify({ type, ...fields });
    const text = body === undefined ? head : `${head.slice(0, -1)},"data":${body}}`;
    if (this.#ws.protocol !== BATCH) this.#ws.send(text);
    else if (this.#lines.push(text) === 1) {
      queueMicrotask(() => {
        this.#sendLines();
      });
    }
  }

  #sendLines(): void {
    let joined = "";
    for (const line of this.#lines.splice(0)) {
      if (joined && joined.length + line.length > MAX_JOINED) {
        this.#ws.send(joined);
        joined = line;
      } else joined = joined ? `${joined}\n${line}` : line;
    }
    if (joined) this.#ws.send(joined);
  }

  #receiveFrame(data: unknown): void {
    this.lastFrameAt = Date.now();
    if (this.#ws.protocol !== BATCH) this.#receive(data);
    else for (const line of String(data).split("\n")) this.#receive(line);
  }

  #receive(text: unknown): void {
    const frame = parseFrame(text);
    if (!frame || this.loss) return;
    if (frame.type === "message") this.#deliver(frame, (text as string).length);
    else this.#handle(frame);
  }

  #handle(frame: Exclude<Frame, MessageFrame>): void {
    switch (frame.type) {
      case "challenge":
        void this.#authenticate(frame.nonce);
        break;
      case "welcome":
        this.tenantId = frame.tenant_id;
        this.connectionId = frame.connection_id;
        this.heartbeatIntervalMs = frame.heartbeat_interval_s * 1000;
        this.#routes = new Routes(frame.tenant_id);
        this.#isAuthenticated = true;
        this.#setWelcome();
        break;
      case "error":
        this.#fail(frame);
        break;
      case "reconnect":
        this.#farewell.retryAfterMs = frame.retry_after_ms;
        break;
      case "gap":
        for (const route of this.#routes.ofChannel(frame.channel)) {
          for (const feed of route.receivers) feed.deliverGap(frame.channel, frame.from_seq, frame.to_seq);
        }
        break;
      case "pong":
        this.#pongs.shift()?.();
        break;
      case "published":
      case "reply":
      case "subscribed":
      case "unsubscribed":
      case "roster": {
        const pending = this.#settle(frame.id);
        pending?.onAnswer?.(frame);
        pending?.resolve(frame);
        break;
      }
      case "heartbeat_ack":
        break;
    }
  }

  async #authenticate(nonce: string): Promise<void> {
    const { key } = this.#options;
    const signature = await key.sign(nonce);
    if (!this.loss) this.#send("auth", { nkey: key.publicKey, signature });
  }

  #fail(frame: ErrorFrame): void {
    const { code, message, retry_after_ms: retryAfterMs, detail } = frame;
    const error = createError(code, { message, retryAfterMs, detail });
    const pending = this.#settle(frame.id);
    if (pending) {
      pending.reject(error);
      return;
    }
    this.#farewell.note(error, this.#isAuthenticated);
    if (this.#isAuthenticated) this.#options.onError(error);
  }

  #deliver(frame: MessageFrame, size: number): void {
    for (const feed of this.#routes.matching(frame.subject, frame.channel, frame.queue)) feed.deliver(frame, size);
  }

  #settle(id: number | string | undefined): Pending | undefined {
    const pending = typeof id === "number" ? this.#answers.get(id) : undefined;
    if (!pending) return undefined;
    this.#answers.delete(id as number);
    clearTimeout(pending.timer);
    return pending;
  }

  #end(loss: Loss): void {
    if (this.loss) return;
    this.loss = loss;
    for (const id of [...this.#answers.keys()]) this.#settle(id)?.reject(new ConnectionLost(loss.error.message));
    this.#pongs = [];
    this.#setLost(loss);
  }
}
