import { OfflineBufferFull } from "./errors.js";
import type { OfflineOptions } from "./options.js";

const DEFAULT_SIZE = 16 * 1024 * 1024;

/** Counts the publishes that wait for a connection. */
export class OfflineBuffer {
  #messages = 0;
  #size = 0;

  constructor(private readonly limits: OfflineOptions | undefined) {}

  get isEnabled(): boolean {
    return this.limits !== undefined && this.limits.messages > 0;
  }

  /** Holds a place while something is waited for. Rejects with OfflineBufferFull. */
  async hold<T>(size: number, wait: () => Promise<T>): Promise<T> {
    const { messages, size: bound = DEFAULT_SIZE } = this.limits ?? { messages: 0 };
    if (this.#messages >= messages || this.#size + size > bound) {
      throw new OfflineBufferFull(`${this.#messages} messages wait for a connection already`);
    }
    this.#messages += 1;
    this.#size += size;
    try {
      return await wait();
    } finally {
      this.#messages -= 1;
      this.#size -= size;
    }
  }
}
