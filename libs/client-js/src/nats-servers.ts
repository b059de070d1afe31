import type { NatsLink } from "./nats-link.js";

/** A server that has not answered after this time is not waited for alone: a node may have lost what checks keys. */
export const NEXT_SERVER_AFTER_MS = 1_000;

/** The nodes of a broker, in the order in which they are asked: the one of the last connection comes last. */
export class NatsServers {
  #servers: string[];

  /** Addresses, or one text with addresses separated by commas, as `connection.nats_url` has them. */
  constructor(servers: string | string[]) {
    this.#servers = [servers]
      .flat()
      .flatMap((each) => each.split(","))
      .map((server) => ({ server, place: Math.random() }))
      .sort((one, other) => one.place - other.place)
      .map(({ server }) => server);
  }

  get areSeveral(): boolean {
    return this.#servers.length > 1;
  }

  /**
   * The link to the server that accepts the key first: the next one is asked after each failure, or after a second. If no
   * server accepts it, or one refuses it for good, `loss` of the returned link says why.
   */
  async dial(dialOne: (server: string) => Promise<NatsLink>): Promise<NatsLink> {
    const waiting = [...this.#servers];
    const running = new Map<Promise<NatsLink>, string>();
    for (;;) {
      const server = waiting.shift();
      if (server !== undefined) running.set(dialOne(server), server);
      const finished = await firstFinished([...running.keys()], waiting.length > 0 ? NEXT_SERVER_AFTER_MS : undefined);
      if (!finished) continue;
      const { attempt, link } = finished;
      const answered = running.get(attempt);
      running.delete(attempt);
      if (link.loss?.event === "lost" && (waiting.length > 0 || running.size > 0)) continue;
      this.#servers = [...this.#servers.filter((each) => each !== answered), ...(answered === undefined ? [] : [answered])];
      for (const late of running.keys()) void late.then((each) => each.close());
      return link;
    }
  }
}

/** The first attempt that has finished; undefined if none has after a time. */
async function firstFinished(
  attempts: Promise<NatsLink>[],
  withinMs: number | undefined,
): Promise<{ attempt: Promise<NatsLink>; link: NatsLink } | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((done) => {
    if (withinMs !== undefined) timer = setTimeout(() => { done(undefined); }, withinMs);
  });
  const finished = attempts.map(async (attempt) => ({ attempt, link: await attempt }));
  try {
    return await Promise.race([late, ...finished]);
  } finally {
    clearTimeout(timer);
  }
}
