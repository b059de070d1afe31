import type { ServerLink } from "./server-link.js";


/** How long the server may take to answer a heartbeat. */
const ANSWER_MS = 10_000;
/** A page that was hidden, or a computer that slept, sends a heartbeat at once if nothing arrived for so long. */
const FRESH_MS = 5_000;

/**
 * Sends heartbeats, and ends a connection that does not answer them.
 *
 * Browsers run the timers of a hidden page once a minute, or not at all while the computer sleeps. So a timer only causes a
 * check of what is due, as does every event of the page that wakes it; no count of timer calls is trusted. Once a minute
 * is enough: the server waits for 90 s. Where even that is missed, the server closes the connection with 4408, and the
 * client connects again and resumes.
 */
export class Heartbeats {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAt: number;
  #checkAt = 0;
  /** When the heartbeat was sent that has no answer yet. */
  #sentAt: number | undefined;
  #isStopped = false;

  constructor(
    private readonly link: ServerLink,
    private readonly send: () => void,
  ) {
    this.#dueAt = Date.now() + link.heartbeatIntervalMs;
    for (const [target, event] of wakeEvents()) target.addEventListener(event, this.#wake);
    this.#schedule();
    void link.lost.then(() => {
      this.stop();
    });
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const [target, event] of wakeEvents()) target.removeEventListener(event, this.#wake);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const next = this.#sentAt === undefined ? this.#dueAt : Math.min(this.#dueAt, this.#sentAt + ANSWER_MS);
    this.#checkAt = next;
    this.#timer = setTimeout(this.#check, Math.max(0, next - Date.now()));
  }

  readonly #check = (): void => {
    if (this.#isStopped) return;
    const now = Date.now();
    if (this.#sentAt !== undefined && this.link.lastFrameAt >= this.#sentAt) this.#sentAt = undefined;
    // A late timer means that the browser suspended the page: frames that arrived may not have been read yet.
    const slept = now - this.#checkAt > FRESH_MS;
    if (this.#sentAt !== undefined && now - this.#sentAt >= ANSWER_MS && !slept) {
      this.link.abort("the server does not answer");
      return;
    }
    if (now >= this.#dueAt || slept) this.#beat(now);
    this.#schedule();
  };

  readonly #wake = (): void => {
    const now = Date.now();
    if (!this.#isStopped && now - this.link.lastFrameAt > FRESH_MS) {
      this.#beat(now);
      this.#schedule();
    }
  };

  #beat(now: number): void {
    this.#sentAt = now;
    this.#dueAt = now + this.link.heartbeatIntervalMs;
    this.send();
  }
}

/** What wakes a page; nothing outside of browsers. */
function wakeEvents(): [EventTarget, string][] {
  const page = globalThis as { document?: EventTarget; addEventListener?: unknown };
  if (!page.document || !page.addEventListener) return [];
  const target = globalThis as unknown as EventTarget;
  return [
    [page.document, "visibilitychange"],
    [page.document, "resume"],
    [target, "online"],
    [target, "pageshow"],
  ];
}
