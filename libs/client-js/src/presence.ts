import type { Report, RosterEntry } from "./options.js";
import { MAX_PENDING, MAX_PENDING_SIZE, type Source } from "./receive-queue.js";
import type { ServerLink } from "./server-link.js";
import type { Subscription } from "./subscription.js";

/** The subjects on which the platform publishes who goes online and offline. */
const PATTERN = "presence.*";

/** What a client says about itself, and who else is there. */
export class Presence {
  #report: Report = {};

  constructor(
    private readonly currentLink: () => ServerLink | undefined,
    private readonly requireLink: () => ServerLink,
    private readonly subscribeTo: (source: Source, signal: AbortSignal | undefined) => Subscription,
  ) {}

  /** Reports what changed; what is left out stays as it was. It is reported again on each new connection. */
  update(changes: Report): void {
    this.#report = { ...this.#report, ...changes };
    const link = this.currentLink();
    link?.report(this.#report);
    if (changes.metrics) link?.heartbeat(this.#report);
  }

  /** Who is in the organization. Rejects with NotConnected while there is no connection. */
  async roster(): Promise<RosterEntry[]> {
    return await this.requireLink().roster();
  }

  /** The clients that go online or offline: messages with `client_id`, `status`, `health` and `last_seen`. */
  watch(options: { signal?: AbortSignal } = {}): Subscription {
    return this.subscribeTo(
      {
        target: { text: PATTERN, isChannel: false },
        overflow: "drop_oldest",
        maxPending: MAX_PENDING,
        maxPendingSize: MAX_PENDING_SIZE,
      },
      options.signal,
    );
  }

  /** @internal */
  resume(link: ServerLink): void {
    if (Object.keys(this.#report).length > 0) link.report(this.#report);
  }

  /** @internal */
  beat(link: ServerLink): void {
    link.heartbeat(this.#report);
  }
}
