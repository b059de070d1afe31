// Which subscriptions of a client receive a frame. A socket receives a message once however many of its subscriptions
// match, so the client finds the subscriptions.

import { isChannelId, matches, resolve } from "./names.js";
import type { ReceiveQueue } from "./receive-queue.js";

const MAX_CACHED_SUBJECTS = 10_000;

/** The subscriptions that share one subscription of the socket. */
export class Route {
  readonly feeds: ReceiveQueue[] = [];
  /** Of these, the ones whose place in the channel the server has not confirmed: they receive nothing yet. */
  readonly waiting = new Set<ReceiveQueue>();
  /** Whether the socket's one place in the channel is later than that of a subscription: until it is moved back, none receives. */
  isAhead = false;
  readonly channel: string | undefined;
  channelId: string | undefined;
  readonly pattern: string;
  readonly queue: string | undefined;
  /** Settles with the answer to the last `subscribe`. */
  ready: Promise<unknown> = Promise.resolve();

  constructor(tenantId: string, feed: ReceiveQueue) {
    this.queue = feed.queue;
    this.channel = feed.target.isChannel ? feed.target.text : undefined;
    this.channelId = this.channel;
    this.pattern = this.channel === undefined ? resolve(tenantId, feed.target.text).bare : "";
  }

  get key(): string {
    return JSON.stringify([this.channel ?? null, this.pattern, this.queue ?? null]);
  }

  /** What names it in a frame. */
  get fields(): Record<string, string> {
    return {
      ...(this.channel === undefined ? { subject: this.pattern } : { channel: this.channel }),
      ...(this.queue === undefined ? {} : { queue: this.queue }),
    };
  }

  /** The subscriptions that receive what arrives. */
  get receivers(): ReceiveQueue[] {
    return this.isAhead ? [] : this.feeds.filter((feed) => !this.waiting.has(feed));
  }

  /** The earliest `seq` that a subscription has not received; undefined if none has a place. */
  get earliestSeq(): number | undefined {
    const known = this.feeds.map((feed) => feed.nextSeq).filter((seq) => seq !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  }
}

/** The routes of a socket. */
export class Routes {
  #routes = new Map<string, Route>();
  #cache = new Map<string, ReceiveQueue[]>();
  // Counts the messages of queue groups, which the subscriptions of this client take in turn.
  #turn = 0;

  constructor(private readonly tenantId: string) {}

  /** The route of a subscription, and whether the socket has to subscribe. */
  join(feed: ReceiveQueue): { route: Route; isNew: boolean } {
    const created = new Route(this.tenantId, feed);
    const route = this.#routes.get(created.key) ?? created;
    this.#routes.set(route.key, route);
    route.feeds.push(feed);
    this.#cache.clear();
    return { route, isNew: route === created };
  }

  /** The route, if the socket has to unsubscribe because this was its last subscription. */
  leave(feed: ReceiveQueue): Route | undefined {
    const route = [...this.#routes.values()].find((each) => each.feeds.includes(feed));
    if (!route) return undefined;
    route.feeds.splice(route.feeds.indexOf(feed), 1);
    route.waiting.delete(feed);
    this.#cache.clear();
    if (route.feeds.length > 0) return undefined;
    this.#routes.delete(route.key);
    return route;
  }

  /**
   * Notes that the server has confirmed a subscription, and the id of a channel that was named by its name. Returns whether
   * the socket's place in the channel has to be moved back to `route.earliestSeq`, so that no other one misses anything.
   */
  confirm(route: Route, feed: ReceiveQueue, channelId: string | undefined, seq: number | undefined): boolean {
    route.channelId = channelId ?? route.channelId;
    route.waiting.delete(feed);
    const earliest = route.earliestSeq;
    route.isAhead = seq !== undefined && earliest !== undefined && earliest <= seq;
    this.#cache.clear();
    return route.isAhead;
  }

  ofChannel(channel: string): Route[] {
    return [...this.#routes.values()].filter((route) => this.#isOf(route, channel));
  }

  /** The subscriptions that receive a message; of a queue group, one of them. */
  matching(subject: string, channel: string | undefined, queue: string | undefined): readonly ReceiveQueue[] {
    const key = queue === undefined ? subject : `${queue} ${subject}`;
    let feeds = this.#cache.get(key);
    if (!feeds) {
      if (this.#cache.size >= MAX_CACHED_SUBJECTS) this.#cache.clear();
      feeds = [...this.#routes.values()]
        .filter((route) => route.queue === queue && this.#hits(route, subject, channel))
        .flatMap((route) => route.receivers);
      this.#cache.set(key, feeds);
    }
    if (queue === undefined || feeds.length < 2) return feeds;
    this.#turn += 1;
    return feeds.slice(this.#turn % feeds.length).slice(0, 1);
  }

  #hits(route: Route, subject: string, channel: string | undefined): boolean {
    if (route.channel === undefined) return matches(route.pattern, subject);
    return channel !== undefined && this.#isOf(route, channel);
  }

  #isOf(route: Route, channel: string): boolean {
    if (route.channelId === undefined) return false;
    if (route.channelId === channel) return true;
    // A channel that was subscribed by its name, whose id is not known yet.
    const isKnown = [...this.#routes.values()].some((each) => each.channelId === channel);
    return !isKnown && !isChannelId(route.channelId);
  }
}
