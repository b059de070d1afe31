// Ed25519 keys in the text form of NATS: base32 of a prefix, 32 bytes and a CRC-16.

import { ConfigurationError } from "./errors.js";
import type { Ed25519 } from "./options.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SEED_PREFIX = 18 << 3; // "S"
const USER_PREFIX = 20 << 3; // "U"
const KEY_BYTES = 32;
// The DER encoding of an Ed25519 private key, without its 32 bytes.
const PKCS8_HEAD = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
const BAD_SEED = "the seed is not valid; it must be one line of 58 characters that starts with SU";
const NO_ED25519 =
  "this platform's Web Crypto cannot sign with Ed25519. It needs Node.js 20, Chrome 137, Firefox 130 or Safari 17, " +
  "and in a browser a page that was loaded over https or from localhost; elsewhere pass the package @noble/ed25519 as " +
  "`ed25519`";

/** A client's key. The private half cannot be read from it. */
export class KeyPair {
  private constructor(
    readonly publicKey: string,
    private readonly signBytes: (bytes: Uint8Array<ArrayBuffer>) => Promise<ArrayBuffer | Uint8Array>,
  ) {}

  /** The key pair of a seed. Rejects with a ConfigurationError. */
  static async fromSeed(seed: string, ed25519?: Ed25519): Promise<KeyPair> {
    const raw = decodeUserSeed(seed);
    try {
      return await KeyPair.#ofWebCrypto(raw);
    } catch {
      if (!ed25519) throw new ConfigurationError(NO_ED25519);
    }
    const publicKey = encodePublicKey(await ed25519.getPublicKeyAsync(raw));
    return new KeyPair(publicKey, (bytes) => ed25519.signAsync(bytes, raw));
  }

  static async #ofWebCrypto(raw: Uint8Array): Promise<KeyPair> {
    const { subtle } = crypto;
    const pkcs8 = Uint8Array.from([...PKCS8_HEAD, ...raw]);
    const key = await subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
    const readable = await subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
    const { x } = await subtle.exportKey("jwk", readable);
    return new KeyPair(encodePublicKey(fromBase64Url(x ?? "")), (bytes) => subtle.sign("Ed25519", key, bytes));
  }

  /** The header `Artcafe-Signature` of a message that a client publishes directly over NATS. */
  async signMessage(clientId: string, subject: string, body: string): Promise<string> {
    const at = Date.now();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body)));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const signature = await this.sign(["artcafe-signature-v1", clientId, subject, at, hex].join("\n"));
    return `v1 ${clientId} ${at} ${signature}`;
  }

  /** The signature of a text's UTF-8 bytes, in base64url without padding. */
  async sign(text: string): Promise<string> {
    const signature = new Uint8Array(await this.signBytes(new TextEncoder().encode(text)));
    return toBase64(signature).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }
}

/** The 32 bytes of a user's seed. Throws a ConfigurationError. */
export function decodeUserSeed(seed: string): Uint8Array {
  const bytes = decodeBase32(seed.trim());
  const body = bytes.subarray(0, -2);
  const checksum = (bytes.at(-2) ?? 0) | ((bytes.at(-1) ?? 0) << 8);
  const kind = (((body[0] ?? 0) & 7) << 5) | ((body[1] ?? 0) >> 3);
  const isValid =
    body.length === 2 + KEY_BYTES &&
    ((body[0] ?? 0) & 0xf8) === SEED_PREFIX &&
    kind === USER_PREFIX &&
    crc16(body) === checksum;
  if (!isValid) throw new ConfigurationError(BAD_SEED);
  return body.subarray(2);
}

function encodePublicKey(raw: Uint8Array): string {
  const body = Uint8Array.from([USER_PREFIX, ...raw]);
  const checksum = crc16(body);
  return encodeBase32(Uint8Array.from([...body, checksum & 0xff, checksum >> 8]));
}

function decodeBase32(text: string): Uint8Array {
  const bytes: number[] = [];
  let buffer = 0;
  let bits = 0;
  for (const letter of text) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) throw new ConfigurationError(BAD_SEED);
    buffer = ((buffer << 5) | value) & 0xffff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}

function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET.charAt((buffer >> bits) & 31);
    }
  }
  return bits > 0 ? text + ALPHABET.charAt((buffer << (5 - bits)) & 31) : text;
}

/** CRC-16/XMODEM. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
    }
  }
  return crc;
}

/** The base64 text of bytes. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** The bytes of a base64 text. Throws where it is none. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function fromBase64Url(text: string): Uint8Array {
  return fromBase64(text.replace(/-/g, "+").replace(/_/g, "/"));
}
