// The client and a running system; see `stack.ts`.

import { afterEach, describe, expect, test, vi } from "vitest";

import {
  AccessRevoked,
  AuthenticationFailed,
  BadSubject,
  ChannelNotFound,
  ClientClosed,
  ForbiddenSubject,
  NoResponders,
  RequestTimeout,
} from "../src/index.js";
import { api, call, closeAll, createChannel, createClient, cut, open, openBehindProxy, take } from "./stack.js";

afterEach(closeAll);

describe.skipIf(!api)("on a running system", () => {
  test("subscribers receive what matches, in order, with headers and sender", async () => {
    const credentials = await createClient();
    const [one, other] = [await open(credentials), await open()];
    const wide = await other.subscribe("orders.>").confirmed();
    const narrow = await other.subscribe("orders.*.new").confirmed();
    for (let n = 0; n < 10; n += 1) await one.publish(`orders.${n % 2}.new`, { n });
    await one.publish("orders.old", "end", { headers: { Lang: "en" } });
    expect(await take(wide, 10)).toEqual(Array.from({ length: 10 }, (_, n) => ({ n })));
    const last = (await wide.next()).value;
    expect(last).toMatchObject({ subject: "orders.old", data: "end", headers: { Lang: "en" } });
    expect(last?.sender).toBe(credentials.clientId);
    expect(await take(narrow, 10)).toHaveLength(10);
  });

  test("three spellings are one name, and each subscription receives its own", async () => {
    const client = await open();
    const spellings = ["a.b", `${client.tenantId}.a.b`, `tenant.${client.tenantId}.a.b`];
    const subscriptions = await Promise.all(spellings.map((each) => client.subscribe(each).confirmed()));
    for (const each of spellings) await client.publish(each, each);
    for (const [position, subscription] of subscriptions.entries()) {
      for (const each of spellings) {
        expect((await subscription.next()).value).toMatchObject({ subject: spellings[position], data: each });
      }
    }
  });

  test("bytes arrive as bytes", async () => {
    const client = await open();
    const subscription = await client.subscribe("bytes").confirmed();
    await client.publish("bytes", Uint8Array.from([0, 255]));
    expect((await subscription.next()).value?.bytes()).toEqual(Uint8Array.from([0, 255]));
  });

  test("each error code is a class", async () => {
    const client = await open();
    await expect(client.publish("a..b", 1)).rejects.toThrow(BadSubject);
    await expect(client.publish("$SYS.x", 1)).rejects.toThrow(ForbiddenSubject);
    await expect(client.channel("no such channel").publish(1)).rejects.toThrow(ChannelNotFound);
    await expect(client.subscribe("a.>.b").confirmed()).rejects.toThrow(BadSubject);
  });

  test("the members of a queue group share the messages", async () => {
    const sender = await open();
    const members = await Promise.all(
      [await open(), await open()].map((client) => client.subscribe("jobs", { queue: "workers" }).confirmed()),
    );
    for (let n = 0; n < 20; n += 1) await sender.publish("jobs", n);
    await vi.waitUntil(() => members.reduce((sum, each) => sum + each.pending, 0) >= 20, { timeout: 5_000 });
    const shares = await Promise.all(members.map((each) => take(each, each.pending)));
    expect(shares.flat().sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  test("a channel is stored and read from any place", async () => {
    const [client, channelId] = [await open(), await createChannel()];
    const channel = client.channel(channelId);
    const seqs: number[] = [];
    for (let n = 0; n < 5; n += 1) seqs.push((await channel.publish(n)).seq ?? 0);
    expect([...new Set(seqs)].sort((a, b) => a - b)).toEqual(seqs);
    const resumed = (await open()).channel(channelId).subscribe({ resumeFrom: seqs[1] ?? 0 });
    expect(await take(resumed, 3)).toEqual([2, 3, 4]);
    const latest = (await open()).channel(channelId).subscribe({ last: 2 });
    expect(await take(latest, 2)).toEqual([3, 4]);
    await channel.publish("more");
    expect([await take(resumed, 1), await take(latest, 1)]).toEqual([["more"], ["more"]]);
  });

  test("two subscriptions of one client read one channel from different places", async () => {
    const [client, channelId] = [await open(), await createChannel()];
    const channel = client.channel(channelId);
    const live = await channel.subscribe().confirmed();
    const seqs: number[] = [];
    for (let n = 0; n < 5; n += 1) seqs.push((await channel.publish(n)).seq ?? 0);
    const resumed = await channel.subscribe({ resumeFrom: seqs[1] ?? 0 }).confirmed();
    const latest = await channel.subscribe({ last: 1 }).confirmed();
    await channel.publish(5);
    expect(await take(live, 6)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await take(resumed, 4)).toEqual([2, 3, 4, 5]);
    expect(await take(latest, 2)).toEqual([4, 5]);
  });

  test("a message id is stored once", async () => {
    const channel = (await open()).channel(await createChannel());
    const first = await channel.publish(1, { messageId: "order-1" });
    expect(await channel.publish(1, { messageId: "order-1" })).toEqual({ seq: first.seq, duplicate: true });
  });

  test("a channel continues without gap or double over cut connections", async () => {
    const [[reader, proxy], writer, channelId] = [await openBehindProxy(), await open(), await createChannel()];
    const subscription = await reader.channel(channelId).subscribe().confirmed();
    const channel = writer.channel(channelId);
    for (let round = 0; round < 3; round += 1) {
      await cut(reader, proxy);
      for (let n = 0; n < 5; n += 1) await channel.publish(round * 5 + n);
      await reader.waitConnected();
    }
    expect(await take(subscription, 15)).toEqual(Array.from({ length: 15 }, (_, n) => n));
  });

  test("a slow reader of a channel loses nothing", async () => {
    const [client, channelId] = [await open(), await createChannel()];
    const subscription = await client.channel(channelId).subscribe({ maxPending: 10 }).confirmed();
    const channel = (await open()).channel(channelId);
    for (let n = 0; n < 60; n += 1) await channel.publish(n);
    expect(subscription.pending).toBeLessThanOrEqual(10);
    expect(await take(subscription, 60)).toEqual(Array.from({ length: 60 }, (_, n) => n));
    expect(subscription.dropped).toBe(0);
  });

  test("publishes without a connection wait in the buffer, and are stored once", async () => {
    const [[writer, proxy], channelId] = [
      await openBehindProxy({ offline: { messages: 10 } }),
      await createChannel(),
    ];
    const subscription = await (await open()).channel(channelId).subscribe().confirmed();
    const channel = writer.channel(channelId);
    const acks: Promise<unknown>[] = [channel.publish(0), channel.publish(1)];
    await cut(writer, proxy);
    for (let n = 2; n < 5; n += 1) acks.push(channel.publish(n));
    await Promise.all(acks);
    const received = await take(subscription, 5);
    expect(received.sort((a, b) => Number(a) - Number(b))).toEqual([0, 1, 2, 3, 4]);
  });

  test("requests are answered, also after a loss of the connection", async () => {
    const [[responder, proxy], asker] = [await openBehindProxy(), await open()];
    await responder.respond("ask", ({ data }) => Number(data) * 7).confirmed();
    expect(await asker.request("ask", 6)).toBe(42);
    await cut(responder, proxy);
    await responder.waitConnected();
    await responder.flush();
    expect(await asker.request("ask", 7)).toBe(49);
    await expect(asker.request("nobody", 1)).rejects.toThrow(NoResponders);
    await responder.subscribe("silent").confirmed();
    await expect(asker.request("silent", 1, { timeoutMs: 100 })).rejects.toThrow(RequestTimeout);
  });

  test("presence is shown, and who comes and goes is told", async () => {
    const credentials = await createClient();
    const client = await open(credentials);
    const changes = await client.presence.watch().confirmed();
    const other = await createClient();
    await (await open(other)).close();
    for (const status of ["online", "offline"]) {
      let change: unknown;
      do change = (await changes.next()).value?.data;
      while ((change as { client_id: string }).client_id !== other.clientId);
      expect(change).toMatchObject({ status });
    }
    // A list may have a new client a moment later.
    await vi.waitFor(async () => {
      const roster = await client.presence.roster();
      expect(roster.find((each) => each.client_id === other.clientId)).toMatchObject({ status: "offline" });
    }, 5_000);
    client.presence.update({ status: "degraded" });
    await vi.waitUntil(
      async () => {
        const status = (await call("GET", `/clients/${credentials.clientId}/status`)) as { health: string };
        return status.health === "degraded";
      },
      { timeout: 10_000, interval: 100 },
    );
  });

  test("draining hands out what arrived, and lets answers finish", async () => {
    const [client, other] = [await open(), await open()];
    const subscription = await client.subscribe("last").confirmed();
    let [begin, finish] = [(): void => undefined, (): void => undefined];
    const began = new Promise<void>((done) => (begin = done));
    const waiting = new Promise<void>((done) => (finish = done));
    const answer = async (): Promise<string> => {
      begin();
      await waiting;
      return "done";
    };
    await client.respond("slow", answer).confirmed();
    for (let n = 0; n < 5; n += 1) await other.publish("last", n);
    await vi.waitUntil(() => subscription.pending === 5, { timeout: 5_000 });
    const asking = other.request("slow", 1);
    await began;
    const draining = client.drain();
    const data: unknown[] = [];
    for await (const message of subscription) data.push(message.data);
    finish();
    await draining;
    expect(data).toEqual([0, 1, 2, 3, 4]);
    expect(await asking).toBe("done");
    await expect(client.publish("x", 1)).rejects.toThrow(ClientClosed);
  });

  test("another client's key and a revoked one are final", async () => {
    const [one, other] = [await createClient(), await createClient()];
    await expect(open({ ...one, seed: other.seed })).rejects.toThrow(AuthenticationFailed);
    const client = await open(one);
    const subscription = await client.subscribe("x").confirmed();
    await call("DELETE", `/clients/${one.clientId}`);
    await expect(subscription.next()).rejects.toThrow(AccessRevoked);
    expect(client.state).toBe("closed");
  });
});
