import { expect, test, vi } from "vitest";

import { ConnectionFailed } from "../src/errors.js";
import type { NatsLink } from "../src/nats-link.js";
import { NatsServers, NEXT_SERVER_AFTER_MS } from "../src/nats-servers.js";
import type { Loss } from "../src/options.js";

const FAILED: Loss = { event: "lost", error: new ConnectionFailed("refused") };
const REFUSED: Loss = { event: "refused", error: new ConnectionFailed("the key is not valid") };

class FakeLink {
  isClosed = false;
  constructor(
    readonly server: string,
    readonly loss?: Loss,
  ) {}
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

/** Servers by name: a loss, or after how many milliseconds they accept. */
function make(answers: Record<string, Loss | number>) {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const nodes = new NatsServers(Object.keys(answers).join(","));
  const links: FakeLink[] = [];
  const dial = () =>
    nodes.dial(async (server) => {
      const answer = answers[server] ?? 0;
      const link = new FakeLink(server, typeof answer === "number" ? undefined : answer);
      links.push(link);
      if (typeof answer === "number") await new Promise((done) => setTimeout(done, answer));
      return link as unknown as NatsLink;
    }) as unknown as Promise<FakeLink>;
  return { nodes, dial, links, asked: () => links.map((each) => each.server).join("") };
}

test("a server that does not answer holds up nothing, and is hung up when it does", async () => {
  vi.useFakeTimers();
  const { dial, links, asked } = make({ a: 30_000, b: 10, c: 10 });
  const dialling = dial();
  await vi.advanceTimersByTimeAsync(NEXT_SERVER_AFTER_MS + 20);
  expect((await dialling).server).toBe("b");
  expect(asked()).toBe("ab");
  await vi.advanceTimersByTimeAsync(30_000);
  expect(links[0]?.isClosed).toBe(true);
  vi.useRealTimers();
});

test("the next server is asked at once after a failure, and the last one comes last", async () => {
  const { dial, asked } = make({ a: FAILED, b: FAILED, c: 0 });
  expect((await dial()).server).toBe("c");
  expect(asked()).toBe("abc");
});

test("a key that is refused ends the search, and so does the failure of every server", async () => {
  const refused = make({ a: REFUSED, b: 0 });
  expect((await refused.dial()).loss).toBe(REFUSED);
  expect(refused.asked()).toBe("a");
  const failed = make({ a: FAILED, b: FAILED });
  expect((await failed.dial()).loss).toBe(FAILED);
});
