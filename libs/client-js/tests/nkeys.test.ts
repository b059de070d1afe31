import * as ed25519 from "@noble/ed25519";
import { describe, expect, test } from "vitest";

import { ConfigurationError } from "../src/errors.js";
import { decodeUserSeed, KeyPair } from "../src/nkeys.js";

// made by the Python package nkeys, of the bytes 0 to 31.
const SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
const PUBLIC_KEY = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

describe("a seed", () => {
  test("gives its key pair", async () => {
    const key = await KeyPair.fromSeed(` ${SEED}\n`);
    expect(key.publicKey).toBe(PUBLIC_KEY);
    const pkcs8 = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32, ...decodeUserSeed(SEED)]);
    const again = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
    const { x, ...jwk } = await crypto.subtle.exportKey("jwk", again);
    const verify = await crypto.subtle.importKey(
      "jwk",
      { kty: jwk.kty ?? "", crv: jwk.crv ?? "", x: x ?? "" },
      "Ed25519",
      false,
      ["verify"],
    );
    const signature = Buffer.from(await key.sign("nonce"), "base64url");
    expect(await crypto.subtle.verify("Ed25519", verify, signature, Buffer.from("nonce"))).toBe(true);
  });

  test.each([
    ["empty", ""],
    ["of another kind", SEED.replace("SU", "SA")],
    ["with a wrong letter", SEED.replace("K", "L")],
    ["with a letter that is none of base32", SEED.replace("K", "1")],
    ["too short", SEED.slice(0, -1)],
    ["a public key", PUBLIC_KEY],
  ])("that is %s is refused", async (_, seed) => {
    await expect(KeyPair.fromSeed(seed)).rejects.toThrow(ConfigurationError);
  });

  test("needs a package that signs where Web Crypto lacks Ed25519", async () => {
    const signature = await (await KeyPair.fromSeed(SEED)).sign("nonce");
    const importKey = crypto.subtle.importKey.bind(crypto.subtle);
    crypto.subtle.importKey = () => Promise.reject(new DOMException("no", "NotSupportedError"));
    try {
      await expect(KeyPair.fromSeed(SEED)).rejects.toThrow(/Web Crypto cannot sign with Ed25519/);
      const key = await KeyPair.fromSeed(SEED, ed25519);
      expect([key.publicKey, await key.sign("nonce")]).toEqual([PUBLIC_KEY, signature]);
    } finally {
      crypto.subtle.importKey = importKey;
    }
  });
});
