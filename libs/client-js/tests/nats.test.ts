// The client over direct NATS, and a running system; see `stack.ts`.

import { afterEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";

import {
  AuthenticationFailed,
  BadSubject,
  ChannelNotFound,
  ForbiddenSubject,
  NoResponders,
  RequestTimeout,
} from "../src/index.js";
import { publishSubject, receivedName, subscribeSubjects } from "../src/nats-names.js";
import { api, call, closeAll, createChannel, createClient, cut, natsProxy, open, openNats, take } from "./stack.js";

const CHANNEL = "01JNB5Y0A1B2C3D4E5F6G7H8J9";
afterEach(closeAll);

test.each([
  ["a.b", "T.a.b", ["T.a.b", "tenant.T.a.b"]],
  ["T.a.b", "T.a.b", ["T.a.b", "tenant.T.a.b"]],
  ["tenant.T.a.b", "T.a.b", ["T.a.b", "tenant.T.a.b"]],
  [`tenant.T.channel.${CHANNEL}`, `tenant.T.channel.${CHANNEL}`, [`tenant.T.channel.${CHANNEL}`]],
  ["channel.x", "T.channel.x", ["T.channel.x"]],
  ["agents.T.x", "agents.T.x", ["agents.T.x"]],
])("%s is published on %s", (text, published, subscribed) => {
  expect(publishSubject("T", text)).toBe(published);
  expect(subscribeSubjects("T", text)).toEqual(subscribed);
});

test("a pattern of presence is subscribed where the platform publishes it", () => {
  expect(subscribeSubjects("T", "presence.*")).toEqual(["tenant.T.presence.*"]);
  expect(() => publishSubject("T", "presence.x")).toThrow(ForbiddenSubject);
});

test.each(["", "a..b", "a b", "a.*", "a.>", "tenant.T", "T", "x".repeat(256)])("%j is no subject", (text) => {
  expect(() => publishSubject("T", text)).toThrow(BadSubject);
});

test.each(["$SYS.x", "tenant.U.x", "_HEARTBEAT.x", `${CHANNEL}.x`])("%s is forbidden", (text) => {
  expect(() => publishSubject("T", text)).toThrow(ForbiddenSubject);
});

test("what is received is called as over WebSocket", () => {
  expect(receivedName("T", "T.a.b")).toEqual({ name: "a.b", channel: undefined });
  expect(receivedName("T", "tenant.T.a.b")).toEqual({ name: "a.b", channel: undefined });
  const subject = `tenant.T.channel.${CHANNEL}`;
  expect(receivedName("T", subject)).toEqual({ name: subject, channel: CHANNEL });
});

describe.skipIf(!api)("on a running system", () => {
  test("both transports meet", async () => {
    const clients = [await openNats(), await open()];
    const channelId = await createChannel();
    for (const [one, other] of [clients, [...clients].reverse()]) {
      const orders = await other?.subscribe("orders.>").confirmed();
      const news = await other?.channel(channelId).subscribe().confirmed();
      await one?.publish("orders.new", { n: 1 }, { headers: { Lang: "en" } });
      const ack = await one?.channel(channelId).publish("kept");
      expect((await orders?.next())?.value).toMatchObject({
        subject: "orders.new",
        data: { n: 1 },
        headers: { Lang: "en" },
      });
      expect((await news?.next())?.value).toMatchObject({ data: "kept", seq: ack?.seq, channel: channelId });
      await orders?.unsubscribe();
      await news?.unsubscribe();
    }
  });

  test("each error code is a class", async () => {
    const client = await openNats();
    await expect(client.publish("a..b", 1)).rejects.toThrow(BadSubject);
    await expect(client.channel("no id").publish(1)).rejects.toThrow(ChannelNotFound);
    await expect(client.request("nobody", 1)).rejects.toThrow(NoResponders);
    await client.subscribe("silent").confirmed();
    await expect(client.request("silent", 1, { timeoutMs: 100 })).rejects.toThrow(RequestTimeout);
  });

  test("permissions are the broker's", async () => {
    const narrow = (await call("POST", "/clients", {
      name: crypto.randomUUID(),
      permissions: { publish: ["in.>"], subscribe: ["out.>"] },
    })) as { client: { client_id: string }; nkey_seed: string };
    const client = await openNats({ clientId: narrow.client.client_id, seed: narrow.nkey_seed });
    await client.publish("in.x", 1);
    await expect(client.publish("out.x", 1)).rejects.toThrow(ForbiddenSubject);
    await expect(client.subscribe("in.x").confirmed()).rejects.toThrow(ForbiddenSubject);
  });

  test("a key that is not known is final", async () => {
    const gone = await createClient();
    await call("DELETE", `/clients/${gone.clientId}`);
    await expect(openNats({ clientId: gone.clientId, seed: gone.seed })).rejects.toThrow(AuthenticationFailed);
  });

  test("requests are answered", async () => {
    const [responder, asker] = [await openNats(), await openNats()];
    await responder.respond("ask", ({ data }) => Number(data) * 7).confirmed();
    expect(await asker.request("ask", 6)).toBe(42);
  });

  test("signed messages show whom they come from, in the order in which they were sent", async () => {
    const { clientId, seed } = await createClient();
    const [signing, plain] = [await openNats({ clientId, seed, sign: true }), await openNats()];
    const receiver = await open();
    const [channelId, numbers] = [await createChannel(), Array.from({ length: 20 }, (_, n) => n)];
    const orders = await receiver.subscribe("orders.>").confirmed();
    const news = await receiver.channel(channelId).subscribe().confirmed();
    await Promise.all(numbers.map((n) => signing.publish("orders.new", n, { headers: { Lang: "en" } })));
    await signing.channel(channelId).publish("kept");
    await plain.publish("orders.plain", 1);
    for (const n of numbers) expect((await orders.next()).value).toMatchObject({ data: n, sender: clientId });
    expect((await orders.next()).value).toMatchObject({ data: 1, sender: undefined });
    expect((await news.next()).value).toMatchObject({ data: "kept", sender: clientId });
    // Answers are signed as well.
    await signing.respond("ask", () => 42).confirmed();
    expect(await receiver.request("ask", 6)).toBe(42);
  });

  test("the roster is read over WebSocket, if its address is known", async () => {
    const { url, clientId, seed } = await createClient();
    const client = await openNats({ url, clientId, seed, WebSocket });
    // A list may have a new client a moment later.
    await vi.waitFor(async () => {
      expect((await client.presence.roster()).map((each) => each.client_id)).toContain(clientId);
    }, 5_000);
    await expect((await openNats()).presence.roster()).rejects.toThrow("pass its address");
  });

  test("a channel is stored and read from any place", async () => {
    const [client, channelId] = [await openNats(), await createChannel()];
    const channel = client.channel(channelId);
    const seqs: number[] = [];
    for (let n = 0; n < 5; n += 1) seqs.push((await channel.publish(n)).seq ?? 0);
    const resumed = channel.subscribe({ resumeFrom: seqs[1] ?? 0 });
    expect(await take(resumed, 3)).toEqual([2, 3, 4]);
    const latest = channel.subscribe({ last: 2 });
    expect(await take(latest, 2)).toEqual([3, 4]);
    const first = await channel.publish("more", { messageId: "order-1" });
    expect(await channel.publish("more", { messageId: "order-1" })).toEqual({ seq: first.seq, duplicate: true });
    expect([await take(resumed, 1), await take(latest, 1)]).toEqual([["more"], ["more"]]);
  });

  test("a channel continues without gap or double over cut connections", async () => {
    const proxy = await natsProxy();
    const [reader, writer, channelId] = [await openNats({}, proxy), await openNats(), await createChannel()];
    const subscription = await reader.channel(channelId).subscribe().confirmed();
    for (let round = 0; round < 3; round += 1) {
      await cut(reader, proxy);
      for (let n = 0; n < 5; n += 1) await writer.channel(channelId).publish(round * 5 + n);
      await reader.waitConnected();
    }
    expect(await take(subscription, 15)).toEqual(Array.from({ length: 15 }, (_, n) => n));
  });

  test("a slow reader of a channel loses nothing", async () => {
    const [client, channelId] = [await openNats(), await createChannel()];
    const subscription = await client.channel(channelId).subscribe({ maxPending: 10 }).confirmed();
    for (let n = 0; n < 60; n += 1) await client.channel(channelId).publish(n);
    expect(subscription.pending).toBeLessThanOrEqual(10);
    expect(await take(subscription, 60)).toEqual(Array.from({ length: 60 }, (_, n) => n));
    expect(subscription.dropped).toBe(0);
  });
});
