// Parts of the client without a connection.

import { describe, expect, test } from "vitest";

import { Backoff } from "../src/backoff.js";
import { createError } from "../src/create-error.js";
import { ERRORS, ForbiddenSubject } from "../src/error-codes.js";
import { ArtcafeError, GapError, ServerError, SlowSubscriber, UnknownError } from "../src/errors.js";
import type { MessageFrame } from "../src/frames.js";
import { clientUrl } from "../src/link.js";
import { encode } from "../src/message.js";
import { matches, resolve } from "../src/names.js";
import { type Overflow, ReceiveQueue } from "../src/receive-queue.js";

test("the delay between attempts is random below a bound that doubles", () => {
  const backoff = new Backoff(500, 30_000, () => 0.5);
  expect([1, 2, 3].map(() => backoff.nextDelay())).toEqual([250, 500, 1000]);
  expect(backoff.nextDelay(840)).toBe(840);
  for (let attempt = 0; attempt < 100; attempt += 1) backoff.nextDelay();
  expect(backoff.boundMs).toBe(30_000);
  backoff.reset();
  expect(backoff.boundMs).toBe(500);
});

test("an error code is a class", () => {
  const error = createError("forbidden_subject", { message: "no", detail: { a: 1 } });
  expect(error).toBeInstanceOf(ForbiddenSubject);
  expect(error).toBeInstanceOf(ServerError);
  expect(error).toBeInstanceOf(ArtcafeError);
  expect([error.code, error.status, error.message, error.detail]).toEqual(["forbidden_subject", 403, "no", { a: 1 }]);
  expect(error.name).toBe("ForbiddenSubject");
  expect(Object.entries(ERRORS).filter(([code, each]) => createError(code).name !== each.name)).toEqual([]);
  const unknown = createError("of_a_later_version", { retryAfterMs: 5 });
  expect(unknown).toBeInstanceOf(UnknownError);
  expect([unknown.code, unknown.status, unknown.retryAfterMs]).toEqual(["of_a_later_version", 0, 5]);
});

test.each([
  ["orders.new", "orders.new", ""],
  ["T.orders.new", "orders.new", "T."],
  ["tenant.T.orders.*", "orders.*", "tenant.T."],
  ["tenant.T.channel.C", "tenant.T.channel.C", ""],
  ["tenant.other.x", "tenant.other.x", ""],
])("the spelling %s is the name %s", (text, bare, prefix) => {
  expect(resolve("T", text)).toEqual({ bare, prefix });
});

test.each([
  ["a.*", "a.b", true],
  ["a.*", "a.b.c", false],
  ["a.>", "a.b.c", true],
  ["a.>", "a", false],
  ["*.b", "a.b", true],
  ["a.b", "a", false],
])("the pattern %s and the subject %s: %s", (pattern, subject, expected) => {
  expect(matches(pattern, subject)).toBe(expected);
});

test("an address is made from the gateway's", () => {
  expect(clientUrl("https://ws.example.com/", "a/b")).toBe("wss://ws.example.com/ws/client/a%2Fb");
  expect(clientUrl("ws://h:1/api/v1/ws/client/c", "c")).toBe("ws://h:1/api/v1/ws/client/c");
});

test("data is any JSON value or bytes", () => {
  expect(encode(undefined)).toBe("null");
  expect(encode(Uint8Array.from([0, 255]))).toBe('{"base64":"AP8="}');
  expect(() => encode(() => 1)).toThrow(TypeError);
});

function message(seq: number): MessageFrame {
  return { type: "message", subject: "c", data: seq, timestamp: "2026-03-01T12:00:00Z", channel: "C", seq };
}

class Recorder {
  calls: string[] = [];
  pause(): void {
    this.calls.push("pause");
  }
  proceed(): void {
    this.calls.push("proceed");
  }
  answer(): void {
    this.calls.push("answer");
  }
}

function queueWith(overflow: Overflow, flow = new Recorder()): ReceiveQueue {
  const target = { text: "C", isChannel: true };
  return new ReceiveQueue(flow, { target, start: {}, overflow, maxPending: 4, maxPendingSize: 1000 });
}

async function read(queue: ReceiveQueue, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  for (let number = 0; number < count; number += 1) values.push((await queue.get()).value?.data);
  return values;
}

describe("a subscription's queue", () => {
  test("leaves out what was received before", async () => {
    const queue = queueWith("pause");
    for (const seq of [3, 4, 3, 4, 5]) queue.deliver(message(seq), 1);
    expect(await read(queue, 3)).toEqual([3, 4, 5]);
    expect([queue.duplicates, queue.start]).toEqual([2, { since: 6 }]);
  });

  test("that is full pauses, and proceeds when half of it is read", async () => {
    const flow = new Recorder();
    const queue = queueWith("pause", flow);
    for (let seq = 1; seq <= 6; seq += 1) queue.deliver(message(seq), 1);
    expect(flow.calls).toEqual(["pause"]);
    expect(await read(queue, 2)).toEqual([1, 2]);
    expect(flow.calls).toEqual(["pause", "proceed"]);
    expect(queue.start).toEqual({ since: 5 });
  });

  test.each<[Overflow, number[]]>([
    ["drop_oldest", [3, 4, 5, 6]],
    ["drop_newest", [1, 2, 3, 4]],
  ])("with %s counts what it drops", async (overflow, left) => {
    const queue = queueWith(overflow);
    for (let seq = 1; seq <= 6; seq += 1) queue.deliver(message(seq), 1);
    expect(queue.dropped).toBe(2);
    expect(await read(queue, 4)).toEqual(left);
  });

  test("with `end` ends with an error after what it holds", async () => {
    const queue = queueWith("end");
    for (let seq = 1; seq <= 6; seq += 1) queue.deliver(message(seq), 1);
    expect(await read(queue, 4)).toEqual([1, 2, 3, 4]);
    await expect(queue.get()).rejects.toThrow(SlowSubscriber);
  });

  test("is bounded by the size of its messages", () => {
    const queue = queueWith("drop_newest");
    queue.deliver(message(1), 2000);
    queue.deliver(message(2), 1);
    expect([queue.pending, queue.dropped]).toEqual([1, 1]);
  });

  test("throws a gap once, and continues behind it", async () => {
    const queue = queueWith("pause");
    queue.deliver(message(3), 1);
    queue.deliverGap("C", 4, 9);
    queue.deliver(message(10), 1);
    expect(await read(queue, 1)).toEqual([3]);
    const gap: unknown = await queue.get().catch((error: unknown) => error);
    expect(gap).toBeInstanceOf(GapError);
    expect(gap).toMatchObject({ channel: "C", fromSeq: 4, toSeq: 9 });
    expect(await read(queue, 1)).toEqual([10]);
  });

  test("counts from the gap again when the history was lost", async () => {
    const queue = queueWith("pause");
    queue.deliver(message(50), 1);
    queue.deliverGap("C", 2, 50);
    queue.deliver(message(2), 1);
    expect(await read(queue, 1)).toEqual([50]);
    await expect(queue.get()).rejects.toThrow(GapError);
    expect(await read(queue, 1)).toEqual([2]);
  });
});
