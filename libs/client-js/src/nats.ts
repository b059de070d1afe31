// Direct NATS, for programs with a NATS library: `@nats-io/nats-core` is an optional peer of the package, which only this
// entry, `@artcafe/client/nats`, needs.

import { Client } from "./client.js";
import { webSocketDial } from "./connect.js";
import { ConfigurationError } from "./errors.js";
import { type NatsConnect, NatsLink } from "./nats-link.js";
import { NatsServers } from "./nats-servers.js";
import { KeyPair } from "./nkeys.js";
import { type ClientOptions, DEFAULT_TIMEOUT_MS, type RosterEntry, type WebSocketConstructor } from "./options.js";
import type { Dial } from "./server-link.js";

/** A broker that has just started refuses every key until the platform is connected to it again. */
const MAX_PASSING_REFUSALS = 5;

export interface NatsConnectOptions extends ClientOptions {
  /** `connect` of `@nats-io/transport-node`, or `wsconnect` of `@nats-io/nats-core`. */
  connect: NatsConnect;
  /** The broker's addresses: `connection.nats_url`, or for `wsconnect` `connection.nats_ws_url`. */
  servers: string | string[];
  /** The id of the organization. */
  tenantId: string;
  /** Signs each message with the client's key, so that receivers over WebSocket see whom it comes from. */
  sign?: boolean;
  /** The gateway's address, for the roster alone: each time it is read, over a WebSocket of its own. */
  url?: string;
  WebSocket?: WebSocketConstructor;
}

/**
 * Connects a client to its organization directly over NATS. Channels are named by their ids.
 *
 * Rejects as `connect` of `@artcafe/client` does.
 */
export async function connectNats(options: NatsConnectOptions): Promise<Client> {
  const { connect, servers, tenantId, clientId, seed, url } = options;
  if (!clientId || !tenantId) throw new ConfigurationError("direct NATS needs `clientId` and `tenantId`");
  const key = await KeyPair.fromSeed(seed, options.ed25519);
  const dial = url === undefined ? undefined : await webSocketDial({ ...options, url });
  let wasAccepted = false;
  let refusals = 0;
  const nodes = new NatsServers(servers);
  const client = new Client(options, async (onError) => {
    const link = await nodes.dial((server) => NatsLink.dial({
      connect,
      server,
      hasOthers: nodes.areSeveral,
      tenantId,
      clientId,
      seed,
      key,
      sign: options.sign ?? false,
      readRoster: dial && (() => readRoster(dial)),
      attemptTimeoutMs: options.attemptTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      answerTimeoutMs: options.ackTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      onRefused: () => {
        refusals += 1;
        return wasAccepted && refusals <= MAX_PASSING_REFUSALS ? "lost" : "refused";
      },
      onError,
    }));
    if (!link.loss) {
      wasAccepted = true;
      refusals = 0;
    }
    return link;
  });
  return client.open();
}

async function readRoster(dial: Dial): Promise<RosterEntry[]> {
  const link = await dial(() => undefined);
  if (link.loss) throw link.loss.error;
  try {
    return await link.roster();
  } finally {
    await link.close();
  }
}

export type { NatsConnect } from "./nats-link.js";
