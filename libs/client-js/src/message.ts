import type { MessageFrame } from "./frames.js";
import { fromBase64, toBase64 } from "./nkeys.js";

/** The acknowledgement of a message. */
export interface Ack {
  /** The message's sequence number in the channel's history; undefined for a plain subject. */
  seq: number | undefined;
  /** Whether a message with the same `messageId` was stored before. */
  duplicate: boolean;
}

/** A message of a subscription. */
export class Message {
  /** The real subject, in the spelling that the subscription used. */
  readonly subject: string;
  /** The JSON value; `{base64: …}` for a payload that is not JSON. */
  readonly data: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** The id of a channel's message. */
  readonly channel: string | undefined;
  /** The sequence number of a channel's message. */
  readonly seq: number | undefined;
  /** The id of the client that published it, as the gateway verified it. */
  readonly sender: string | undefined;
  /** Set if the sender waits for an answer. */
  readonly reply: string | undefined;
  /** When the platform stored or received it, as RFC 3339. */
  readonly timestamp: string;
  readonly #answer: (data: unknown) => void;

  constructor(frame: MessageFrame, prefix: string, answer: (data: unknown) => void) {
    this.subject = prefix + frame.subject;
    this.data = frame.data;
    this.headers = frame.headers ?? {};
    this.channel = frame.channel;
    this.seq = frame.seq;
    this.sender = frame.from;
    this.reply = frame.reply;
    this.timestamp = frame.timestamp;
    this.#answer = answer;
  }

  /** The bytes of a message that was published as a Uint8Array. Throws a TypeError for other data. */
  bytes(): Uint8Array {
    const data = this.data;
    if (typeof data === "object" && data !== null && "base64" in data && typeof data.base64 === "string") {
      return fromBase64(data.base64);
    }
    throw new TypeError("the message is not one of bytes");
  }

  /** Answers a request. Throws a TypeError if the sender waits for no answer, NotConnected without a connection. */
  respond(data: unknown): void {
    if (this.reply === undefined) throw new TypeError("the sender of this message waits for no answer");
    this.#answer(data);
  }
}

/** The JSON text of a value; a Uint8Array is sent as `{base64: …}`. Throws a TypeError for a value without one. */
export function encode(data: unknown): string {
  const value = data instanceof Uint8Array ? { base64: toBase64(data) } : data;
  const text = JSON.stringify(value === undefined ? null : value) as string | undefined;
  if (text === undefined) throw new TypeError(`data of type ${typeof data} cannot be sent as JSON`);
  return text;
}
