// A WebSocket server that speaks the protocol as a test tells it to, for what a real one cannot be made to do on demand.

import { once } from "node:events";
import type { AddressInfo } from "node:net";

import { WebSocket, WebSocketServer } from "ws";

import { type Client, connect } from "../src/index.js";
import type { ConnectOptions } from "../src/options.js";

export const SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
export type Json = Record<string, unknown>;

/** One connection, as the server sees it. */
export class Peer {
  received: Json[] = [];
  #waiters: (() => void)[] = [];

  constructor(private readonly ws: WebSocket) {
    ws.on("message", (data: Buffer) => {
      for (const line of data.toString().split("\n")) this.received.push(JSON.parse(line) as Json);
      for (const done of this.#waiters.splice(0)) done();
    });
  }

  send(...frames: Json[]): void {
    for (const frame of frames) this.ws.send(JSON.stringify(frame));
  }

  close(code: number, reason = ""): void {
    this.ws.close(code, reason);
  }

  /** The next frame of a type; it is taken out of `received`. */
  async next(type: string): Promise<Json> {
    for (;;) {
      const position = this.received.findIndex((frame) => frame.type === type);
      if (position >= 0) return this.received.splice(position, 1)[0] ?? {};
      await new Promise<void>((done) => this.#waiters.push(done));
    }
  }

  async welcome(heartbeatIntervalS = 30): Promise<void> {
    this.send({ type: "challenge", nonce: "n" });
    await this.next("auth");
    this.send({
      type: "welcome",
      connection_id: "k",
      tenant_id: "T",
      client_id: "c",
      server_id: "s",
      heartbeat_interval_s: heartbeatIntervalS,
      protocol: 1,
    });
  }
}

export class ScriptedServer {
  readonly #server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  readonly #clients: Client[] = [];
  #peers: Peer[] = [];
  #waiters: ((peer: Peer) => void)[] = [];

  private constructor() {
    this.#server.on("connection", (ws) => {
      const peer = new Peer(ws);
      const waiter = this.#waiters.shift();
      if (waiter) waiter(peer);
      else this.#peers.push(peer);
    });
  }

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await once(server.#server, "listening");
    return server;
  }

  /** The next connection. */
  accept(): Promise<Peer> {
    const peer = this.#peers.shift();
    return peer ? Promise.resolve(peer) : new Promise((done) => this.#waiters.push(done));
  }

  connect(options: Partial<ConnectOptions> = {}): Promise<Client> {
    return connect({
      url: `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      clientId: "c",
      seed: SEED,
      firstBackoffMs: 10,
      WebSocket,
      ...options,
    }).then((client) => {
      this.#clients.push(client);
      return client;
    });
  }

  /** A connected client and the server's side of its connection. */
  async connected(options: Partial<ConnectOptions> = {}, heartbeatIntervalS = 30): Promise<[Client, Peer]> {
    const connecting = this.connect(options);
    const peer = await this.accept();
    await peer.welcome(heartbeatIntervalS);
    return [await connecting, peer];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    for (const ws of this.#server.clients) ws.terminate();
    this.#server.close();
  }
}
