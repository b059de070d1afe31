// The client of ArtCafe PubSub for browsers and Node.js.

export { Channel, type ChannelSubscribeOptions, type PublishOptions, type QueueOptions } from "./channel.js";
export type { Client } from "./client.js";
export { connect } from "./connect.js";
export * from "./error-codes.js";
export * from "./errors.js";
export type { Ack, Message } from "./message.js";
export type {
  ClientOptions,
  ConnectOptions,
  Ed25519,
  OfflineOptions,
  Report,
  RosterEntry,
  WebSocketConstructor,
  WebSocketLike,
} from "./options.js";
export type { Presence } from "./presence.js";
export type { Overflow } from "./receive-queue.js";
export type { Responder } from "./responder.js";
export type { State } from "./states.js";
export type { Subscription } from "./subscription.js";
