import type { Backoff } from "./backoff.js";
import { ClientClosed, ConnectionFailed, NotConnected } from "./errors.js";
import type { Loss } from "./options.js";
import type { ServerLink } from "./server-link.js";
import { type Action, type State, type StateEvent, TRANSITIONS } from "./states.js";

/** A connection that lasted this long was a success: its loss is not a further failure of the same kind. */

/** What the client does beside the connection itself. */
export interface Hooks {
  dial: () => Promise<ServerLink>;
  resume: (link: ServerLink) => void;
  stopReceiving: () => Promise<void>;
  end: (error: Error | undefined) => void;
  onState: (state: State) => void;
}

/** A connection that comes back: one link after another, as the table in `states.ts` says. */
export class Connection {
  state: State = "disconnected";
  /** Why it is closed, unless the program closed it. */
  error: Error | undefined;
  lastLoss: Loss | undefined;
  /** The connection to the server; undefined while there is none. */
  link: ServerLink | undefined;
  #dialled: ServerLink | undefined;
  #wakeUp: (() => void) | undefined;
  #waiters: (() => void)[] = [];

  constructor(
    private readonly hooks: Hooks,
    private readonly backoff: Backoff,
  ) {}

  // -- for the client ----------------------------------------------------------------------------

  /** Connects. ConnectionFailed if that takes longer than `timeoutMs`. */
  async open(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    // Rounded up, so that the deadline has passed when it fires.
    const timer = setTimeout(() => {
      this.#notify();
    }, timeoutMs + 2);
    void this.#run();
    try {
      while (!this.link) {
        if (Date.now() >= deadline) {
          throw this.lastLoss?.error ?? new ConnectionFailed(`no connection in ${timeoutMs} ms`);
        }
        if (this.state === "closed") this.requireLink();
        await this.waitChange();
      }
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The link. Throws NotConnected, ClientClosed, or the error with which the key was refused. */
  requireLink(): ServerLink {
    if (this.link) return this.link;
    if (this.state === "closed") throw this.error ?? new ClientClosed("the client is closed");
    throw new NotConnected("there is no connection now");
  }

  /** The link, as soon as there is one. Rejects as `requireLink` does once the client is closed. */
  async waitLink(): Promise<ServerLink> {
    while (!this.link) {
      if (this.state === "closed") this.requireLink();
      await this.waitChange();
    }
    return this.link;
  }

  /** Resolves when the state or the link has changed. */
  waitChange(): Promise<void> {
    return new Promise((done) => this.#waiters.push(done));
  }

  /** Stops receiving, finishes what was begun, and closes. */
  async drain(): Promise<void> {
    if (this.state === "draining") {
      while ((this.state as State) !== "closed") await this.waitChange();
      return;
    }
    await this.#on("drain");
    await this.close();
  }

  async close(): Promise<void> {
    await this.#on("close");
  }

  // -- the loop ----------------------------------------------------------------------------------

  async #run(): Promise<void> {
    while (this.state === "disconnected") {
      await this.#on("open");
      const link = await this.hooks.dial();
      if ((this.state as State) !== "connecting") {
        await link.close();
        return;
      }
      this.#dialled = link;
      if (!link.loss) {
        const connectedAt = Date.now();
        await this.#on("welcome");
        await link.lost;
        if (Date.now() - connectedAt >= link.stableAfterMs) this.backoff.reset();
      }
      const loss = await link.lost;
      await this.#on(loss.event, loss);
    }
  }

  /** Follows the table: the new state, then its actions. */
  async #on(event: StateEvent, loss?: Loss): Promise<void> {
    const transition = TRANSITIONS[this.state][event];
    if (!transition) return;
    if (loss) {
      this.lastLoss = loss;
      if (event === "refused") this.error = loss.error;
    }
    if (transition.to === "connected") this.link = this.#dialled;
    else if (transition.to !== "draining") this.link = undefined;
    this.state = transition.to;
    // Subscriptions begin again before anything that waits for the connection is sent.
    if (transition.actions.includes("resume") && this.link) this.hooks.resume(this.link);
    this.#notify();
    this.hooks.onState(transition.to);
    for (const action of transition.actions) await this.#do(action, loss);
  }

  async #do(action: Action, loss: Loss | undefined): Promise<void> {
    if (action === "hang_up") {
      const link = this.#dialled;
      this.#dialled = undefined;
      this.#wakeUp?.();
      await link?.close();
    } else if (action === "back_off") await this.#sleep(this.backoff.nextDelay());
    else if (action === "wait_as_told") await this.#sleep(this.backoff.nextDelay(loss?.retryAfterMs));
    else if (action === "stop_receiving") await this.hooks.stopReceiving();
    else if (action === "end") this.hooks.end(this.error);
    // `dial` is the loop's next step, `resume` is done, and pending answers fail with their link.
  }

  /** Waits; ends early when the client is closed. */
  async #sleep(delayMs: number): Promise<void> {
    await new Promise<void>((done) => {
      const timer = setTimeout(done, delayMs);
      this.#wakeUp = () => {
        clearTimeout(timer);
        done();
      };
    });
    this.#wakeUp = undefined;
  }

  #notify(): void {
    for (const done of this.#waiters.splice(0)) done();
  }
}
