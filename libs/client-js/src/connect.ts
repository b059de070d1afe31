import { Client } from "./client.js";
import { ConfigurationError } from "./errors.js";
import { Link } from "./link.js";
import { KeyPair } from "./nkeys.js";
import { type ConnectOptions, DEFAULT_TIMEOUT_MS, type WebSocketConstructor } from "./options.js";
import type { Dial } from "./server-link.js";

/**
 * Connects a client to its organization.
 *
 * Rejects with a ConfigurationError, with ConnectionFailed after `connectTimeoutMs`, or with the error of a refused key.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  return new Client(options, await webSocketDial(options)).open();
}

/** How a client connects over WebSocket. Rejects with a ConfigurationError. */
export async function webSocketDial(options: ConnectOptions): Promise<Dial> {
  const global = globalThis as { WebSocket?: WebSocketConstructor };
  const WebSocket = options.WebSocket ?? global.WebSocket;
  if (!WebSocket) {
    throw new ConfigurationError("this platform has no WebSocket; pass that of the package ws as `WebSocket`");
  }
  if (!options.clientId) throw new ConfigurationError("the client's id is missing: pass `clientId`");
  if (!/^(ws|http)s?:\/\/[^/]/.test(options.url)) {
    throw new ConfigurationError(`${options.url} is not a ws://, wss:// or http(s):// address`);
  }
  const key = await KeyPair.fromSeed(options.seed, options.ed25519);
  return (onError) =>
    Link.dial({
      url: options.url,
      clientId: options.clientId,
      key,
      WebSocket,
      attemptTimeoutMs: options.attemptTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      answerTimeoutMs: options.ackTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      onError,
    });
}
