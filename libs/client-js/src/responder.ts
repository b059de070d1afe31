import type { Message } from "./message.js";
import type { Subscription } from "./subscription.js";

/** Answers a request with what it returns; undefined sends no answer. */
export type Responder = (message: Message) => unknown;

/** Calls a function for the messages of a subscription, at most `concurrency` at a time, until it ends. */
export async function serve(
  subscription: Subscription,
  responder: Responder,
  concurrency: number,
  onError: (error: unknown) => void,
): Promise<void> {
  const running = new Set<Promise<void>>();
  try {
    for await (const message of subscription) {
      const call = answer(message, responder)
        .catch(onError)
        .finally(() => running.delete(call));
      running.add(call);
      if (running.size >= concurrency) await Promise.race(running);
    }
  } catch (error) {
    onError(error);
  }
  await Promise.all(running);
}

async function answer(message: Message, responder: Responder): Promise<void> {
  const data = await responder(message);
  if (data !== undefined && message.reply !== undefined) message.respond(data);
}
