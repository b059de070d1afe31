// Direct NATS, for programs with a NATS library: `@nats-io/nats-core` is an optional peer of the package, which only this
// entry, `@artcafe/client/nats`, needs.

import { Client } from "./client.js";
import { ConfigurationError } from "./errors.js";
import { type NatsConnect, NatsLink } from "./nats-link.js";
import { KeyPair } from "./nkeys.js";
import { type ClientOptions, DEFAULT_TIMEOUT_MS } from "./options.js";

/** A broker that has just started refuses every key until the platform is connected to it again. */
const MAX_PASSING_REFUSALS = 5;

export interface NatsConnectOptions extends ClientOptions {
  /** `connect` of `@nats-io/transport-node`, or `wsconnect` of `@nats-io/nats-core`. */
  connect: NatsConnect;
  /** The broker's address: `connection.nats_url`, or for `wsconnect` `connection.nats_ws_url`. */
  servers: string | string[];
  /** The id of the organization. */
  tenantId: string;
}

/**
 * Connects a client to its organization directly over NATS. Channels are named by their ids, and the roster cannot be read.
 *
 * Rejects as `connect` of `@artcafe/client` does.
 */
export async function connectNats(options: NatsConnectOptions): Promise<Client> {
  const { connect, servers, tenantId, clientId, seed } = options;
  if (!clientId || !tenantId) throw new ConfigurationError("direct NATS needs `clientId` and `tenantId`");
  const { publicKey } = await KeyPair.fromSeed(seed);
  let wasAccepted = false;
  let refusals = 0;
  const client = new Client(options, async (onError) => {
    const link = await NatsLink.dial({
      connect,
      servers,
      tenantId,
      clientId,
      seed,
      publicKey,
      attemptTimeoutMs: options.attemptTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      answerTimeoutMs: options.ackTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      onRefused: () => {
        refusals += 1;
        return wasAccepted && refusals <= MAX_PASSING_REFUSALS ? "lost" : "refused";
      },
      onError,
    });
    if (!link.loss) {
      wasAccepted = true;
      refusals = 0;
    }
    return link;
  });
  return client.open();
}

export type { NatsConnect } from "./nats-link.js";
