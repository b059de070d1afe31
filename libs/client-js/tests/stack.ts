// A running system, which the environment names: ARTCAFE_TEST_API, and the ARTCAFE_TEST_TOKEN and ARTCAFE_TEST_TENANT of a
// person and an organization in which the tests create clients and channels.

import { connect as natsConnect } from "@nats-io/transport-node";
import { expect, vi } from "vitest";
import { WebSocket } from "ws";

import { type Client, connect, type Subscription } from "../src/index.js";
import { connectNats, type NatsConnectOptions } from "../src/nats.js";
import type { ConnectOptions } from "../src/options.js";
import { CutProxy } from "./cut-proxy.js";

export const { ARTCAFE_TEST_API: api, ARTCAFE_TEST_TOKEN: token, ARTCAFE_TEST_TENANT: tenant } = process.env;
const clients: Client[] = [];
const proxies: CutProxy[] = [];

export interface Credentials {
  url: string;
  natsUrl: string;
  clientId: string;
  seed: string;
}

export async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${api ?? ""}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token ?? ""}`,
      "x-tenant-id": tenant ?? "",
      "content-type": "application/json",
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  expect(response.ok, text).toBe(true);
  return text === "" ? undefined : JSON.parse(text);
}

export async function createClient(): Promise<Credentials> {
  const created = (await call("POST", "/clients", { name: crypto.randomUUID() })) as {
    client: { client_id: string };
    nkey_seed: string;
    connection: { websocket_url: string; nats_url: string };
  };
  const { websocket_url: url, nats_url: natsUrl } = created.connection;
  return { url, natsUrl, clientId: created.client.client_id, seed: created.nkey_seed };
}

export async function createChannel(): Promise<string> {
  const created = (await call("POST", "/channels", { name: crypto.randomUUID() })) as { channel_id: string };
  return created.channel_id;
}

export async function open(options: Partial<ConnectOptions> = {}): Promise<Client> {
  const credentials = options.seed ? undefined : await createClient();
  const client = await connect({ WebSocket, firstBackoffMs: 50, ...credentials, ...options } as ConnectOptions);
  clients.push(client);
  return client;
}

/** A client over direct NATS; with a proxy, its connection can be cut. */
export async function openNats(
  options: Partial<NatsConnectOptions> = {},
  proxy?: CutProxy,
): Promise<Client> {
  const { natsUrl, clientId, seed } = await createClient();
  const client = await connectNats({
    connect: natsConnect,
    servers: proxy ? `127.0.0.1:${new URL(proxy.url).port}` : natsUrl,
    tenantId: tenant ?? "",
    clientId,
    seed,
    firstBackoffMs: 50,
    ...options,
  });
  clients.push(client);
  return client;
}

/** A proxy before the broker. */
export async function natsProxy(): Promise<CutProxy> {
  const { natsUrl } = await createClient();
  const proxy = await CutProxy.start(Number(new URL(natsUrl).port));
  proxies.push(proxy);
  return proxy;
}

/** A client whose connection can be cut. */
export async function openBehindProxy(options: Partial<ConnectOptions> = {}): Promise<[Client, CutProxy]> {
  const credentials = await createClient();
  const proxy = await CutProxy.start(Number(new URL(credentials.url).port));
  proxies.push(proxy);
  return [await open({ ...credentials, url: proxy.url, ...options }), proxy];
}

export async function cut(client: Client, proxy: CutProxy): Promise<void> {
  const { connectionId } = client;
  proxy.cut();
  await vi.waitUntil(() => client.connectionId !== connectionId, { timeout: 5_000, interval: 5 });
}

export async function take(subscription: Subscription, count: number): Promise<unknown[]> {
  const data: unknown[] = [];
  while (data.length < count) data.push((await subscription.next()).value?.data);
  return data;
}

/** Ends what a test has opened. */
export async function closeAll(): Promise<void> {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const proxy of proxies.splice(0)) proxy.stop();
}
