// What the client does with what a server says.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  AccessRevoked,
  AuthenticationFailed,
  ClientClosed,
  ConnectionFailed,
  GapError,
  NotConnected,
  OfflineBufferFull,
  PublishUncertain,
  type State,
} from "../src/index.js";
import { ScriptedServer } from "./scripted-server.js";

let server: ScriptedServer;
beforeEach(async () => {
  server = await ScriptedServer.start();
});
afterEach(() => server.stop());

const AT = "2026-03-01T12:00:00Z";
function message(seq: number, channel = "C"): Record<string, unknown> {
  return { type: "message", subject: `tenant.T.channel.${channel}`, channel, data: seq, timestamp: AT, seq };
}

test("the roster is read page by page", async () => {
  const [client, peer] = await server.connected();
  const reading = client.presence.roster();
  const first = await peer.next("roster");
  expect(first).toMatchObject({ limit: 200 });
  peer.send({ type: "roster", id: first.id, roster: [{ client_id: "a" }], next_cursor: "after a" });
  const second = await peer.next("roster");
  expect(second).toMatchObject({ limit: 200, cursor: "after a" });
  peer.send({ type: "roster", id: second.id, roster: [{ client_id: "b" }], next_cursor: null });
  expect(await reading).toEqual([{ client_id: "a" }, { client_id: "b" }]);
  await client.close();
  await expect(client.presence.roster()).rejects.toThrow(ClientClosed);
});

describe("a connection that is lost", () => {
  test("is made again, with subscriptions and presence", async () => {
    const states: State[] = [];
    const [client, peer] = await server.connected({ onState: (state) => states.push(state) });
    client.presence.update({ status: "busy" });
    client.subscribe("orders.>", { queue: "q" });
    await peer.next("subscribe");
    peer.close(1011);
    const second = await server.accept();
    await second.welcome();
    expect(await second.next("subscribe")).toMatchObject({ subject: "orders.>", queue: "q" });
    expect(await second.next("presence")).toMatchObject({ status: "busy" });
    await client.close();
    expect(states).toEqual(["connecting", "connected", "disconnected", "connecting", "connected", "closed"]);
  });

  test("is made again after exactly the delay that the server names", async () => {
    const [, peer] = await server.connected({ firstBackoffMs: 60_000 });
    peer.send({ type: "reconnect", retry_after_ms: 300 });
    peer.close(1012, "restarting");
    const before = performance.now();
    await server.accept();
    expect(performance.now() - before).toBeGreaterThan(290);
  });

  test.each([
    [4401, "authentication_failed", AuthenticationFailed],
    [4403, "key_regenerated", AccessRevoked],
  ])("with %i is final", async (code, reason, kind) => {
    const [client, peer] = await server.connected();
    const subscription = client.subscribe("x");
    await peer.next("subscribe");
    peer.close(code, reason);
    await expect(subscription.next()).rejects.toThrow(kind);
    expect(client.state).toBe("closed");
    await expect(client.publish("x", 1)).rejects.toThrow(kind);
  });

  test("makes what was sent uncertain, and what was not sent fail at once", async () => {
    const [client, peer] = await server.connected({ firstBackoffMs: 60_000 });
    const published = client.channel("C").publish(1);
    const frame = await peer.next("publish");
    peer.close(1011);
    const error: unknown = await published.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PublishUncertain);
    expect(error).toMatchObject({ messageId: frame.message_id });
    await expect(client.publish("x", 1)).rejects.toThrow(NotConnected);
  });
});

test("a refused key rejects `connect`", async () => {
  const connecting = server.connect();
  const failed = expect(connecting).rejects.toThrow(AuthenticationFailed);
  const peer = await server.accept();
  peer.send({ type: "challenge", nonce: "n" });
  await peer.next("auth");
  peer.send({ type: "error", code: "authentication_failed", message: "no" });
  peer.close(4401, "authentication_failed");
  await failed;
});

test("a server that says nothing is given up, and `connect` ends in time", async () => {
  await expect(server.connect({ attemptTimeoutMs: 50, connectTimeoutMs: 200 })).rejects.toThrow(ConnectionFailed);
});

test("an aborted signal ends connecting", async () => {
  const abort = new AbortController();
  const connecting = expect(server.connect({ signal: abort.signal })).rejects.toThrow(/aborted/);
  await server.accept();
  abort.abort();
  await connecting;
});

test("a subscription that joins a channel takes nothing from the others while the socket's place is moved back", async () => {
  const [client, peer] = await server.connected();
  const channel = client.channel("C");
  const confirm = async (seq: number): Promise<Record<string, unknown>> => {
    const frame = await peer.next("subscribe");
    peer.send({ type: "subscribed", id: frame.id, channel: "C", channel_id: "C", seq });
    return frame;
  };
  const resumed = channel.subscribe({ resumeFrom: 3 });
  await confirm(3);
  await resumed.confirmed();
  const [latest, live] = [channel.subscribe({ last: 1 }), channel.subscribe()];
  expect(await confirm(6)).toMatchObject({ last: 1 });
  peer.send(message(7));
  expect(await confirm(7)).toMatchObject({ last: 0 });
  peer.send(message(8));
  expect(await confirm(3)).toMatchObject({ since: 4 });
  expect(await confirm(3)).toMatchObject({ since: 4 });
  for (let seq = 4; seq <= 8; seq += 1) peer.send(message(seq));
  const read = async (subscription: typeof resumed, count: number): Promise<unknown[]> => {
    const seqs = [];
    for (let n = 0; n < count; n += 1) seqs.push((await subscription.next()).value?.seq);
    return seqs;
  };
  expect(await read(resumed, 5)).toEqual([4, 5, 6, 7, 8]);
  expect(await read(latest, 2)).toEqual([7, 8]);
  expect(await read(live, 1)).toEqual([8]);
});

describe("the offline buffer", () => {
  test("sends again with the same message id, and what waited in order", async () => {
    const [client, peer] = await server.connected({ offline: { messages: 3 } });
    const channel = client.channel("C");
    const first = channel.publish(1);
    const sent = await peer.next("publish");
    peer.close(1011);
    await vi.waitUntil(() => client.state !== "connected");
    const later = [channel.publish(2), channel.publish(3)];
    const second = await server.accept();
    await second.welcome();
    const frames = [await second.next("publish"), await second.next("publish"), await second.next("publish")];
    expect(frames.map((frame) => frame.data)).toEqual([1, 2, 3]);
    expect(frames[0]?.message_id).toBe(sent.message_id);
    for (const [position, frame] of frames.entries()) {
      second.send({ type: "published", id: frame.id, seq: position + 7 });
    }
    expect((await Promise.all([first, ...later])).map((ack) => ack.seq)).toEqual([7, 8, 9]);
  });

  test("is bounded", async () => {
    const [client, peer] = await server.connected({ offline: { messages: 1 }, firstBackoffMs: 60_000 });
    peer.close(1011);
    await vi.waitUntil(() => client.state === "disconnected");
    const waiting = client.publish("x", 1);
    await expect(client.publish("x", 2)).rejects.toThrow(OfflineBufferFull);
    await client.close();
    await expect(waiting).rejects.toThrow(ClientClosed);
  });
});

describe("a channel", () => {
  test("resumes after the last message, and leaves out doubles", async () => {
    const [client, peer] = await server.connected();
    const subscription = client.channel("C").subscribe({ resumeFrom: 4 });
    const frame = await peer.next("subscribe");
    expect(frame).toMatchObject({ channel: "C", since: 5 });
    peer.send({ type: "subscribed", id: frame.id, channel: "C" }, message(5), message(8));
    expect((await subscription.next()).value?.seq).toBe(5);
    expect((await subscription.next()).value?.seq).toBe(8);
    peer.close(1011);
    const second = await server.accept();
    await second.welcome();
    const again = await second.next("subscribe");
    expect(again).toMatchObject({ since: 9 });
    second.send({ type: "subscribed", id: again.id, channel: "C" }, message(8), message(9));
    expect((await subscription.next()).value?.seq).toBe(9);
    expect(subscription.duplicates).toBe(1);
  });

  test("without a message yet resumes from where it began", async () => {
    const [client, peer] = await server.connected();
    const subscription = client.channel("C").subscribe();
    const frame = await peer.next("subscribe");
    expect(frame).toMatchObject({ last: 0 });
    peer.send({ type: "subscribed", id: frame.id, channel: "C", seq: 7 });
    await subscription.confirmed();
    peer.close(1011);
    const second = await server.accept();
    await second.welcome();
    expect(await second.next("subscribe")).toMatchObject({ since: 8 });
  });

  test("that two subscriptions read is read from the earlier place", async () => {
    const [client, peer] = await server.connected();
    const channel = client.channel("C");
    channel.subscribe({ resumeFrom: 4 });
    channel.subscribe({ last: 1 });
    for (const seq of [4, 8]) {
      const frame = await peer.next("subscribe");
      peer.send({ type: "subscribed", id: frame.id, channel: "C", seq });
    }
    expect(await peer.next("subscribe")).toMatchObject({ since: 5 });
  });

  test("tells of a gap by an error, or by a function", async () => {
    const [client, peer] = await server.connected();
    const gaps: GapError[] = [];
    const subscription = client.channel("C").subscribe({ resumeFrom: 1 });
    const watched = client.channel("D").subscribe({ resumeFrom: 1, onGap: (gap) => gaps.push(gap) });
    for (const channel of ["C", "D"]) {
      const frame = await peer.next("subscribe");
      peer.send({ type: "subscribed", id: frame.id, channel, gap: true });
      peer.send({ type: "gap", channel, from_seq: 2, to_seq: 9 }, message(10, channel));
    }
    const received: unknown[] = [];
    const read = async (): Promise<void> => {
      for await (const { seq } of subscription) {
        received.push(seq);
        break;
      }
    };
    await expect(read()).rejects.toThrow(GapError);
    expect((await watched.next()).value?.seq).toBe(10);
    expect(gaps).toMatchObject([{ channel: "D", fromSeq: 2, toSeq: 9 }]);
    const reading = read();
    const unsubscribe = await peer.next("unsubscribe");
    peer.send({ type: "unsubscribed", id: unsubscribe.id });
    await reading;
    expect(received).toEqual([10]);
  });
});

describe("heartbeats", () => {
  test("are sent by the interval that the server names", async () => {
    const [client, peer] = await server.connected({}, 0.05);
    client.presence.update({ status: "busy" });
    await peer.next("presence");
    expect(await peer.next("heartbeat")).toMatchObject({ status: "busy" });
    await peer.next("heartbeat");
    expect(client.state).toBe("connected");
  });
});

test("`close` ends iterations, and drains nothing", async () => {
  const [client, peer] = await server.connected();
  const subscription = client.subscribe("x");
  await peer.next("subscribe");
  await client.close();
  expect(await subscription.next()).toEqual({ done: true, value: undefined });
  await expect(client.publish("x", 1)).rejects.toThrow(ClientClosed);
  expect(() => client.subscribe("x")).toThrow(ClientClosed);
});

test("an aborted signal ends an iteration", async () => {
  const [client, peer] = await server.connected();
  const abort = new AbortController();
  const subscription = client.subscribe("x", { signal: abort.signal });
  const subscribe = await peer.next("subscribe");
  peer.send({ type: "subscribed", id: subscribe.id, subject: "x" });
  abort.abort();
  const unsubscribe = await peer.next("unsubscribe");
  peer.send({ type: "unsubscribed", id: unsubscribe.id });
  for await (const each of subscription) expect(each).toBeUndefined();
});
