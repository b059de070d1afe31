/** A random delay between zero and a bound that doubles with each attempt ("full jitter"). */
export class Backoff {
  attempts = 0;

  constructor(
    private readonly firstMs: number,
    private readonly maxMs: number,
    private readonly random: () => number = Math.random,
  ) {}

  /** The longest delay that the next call of `nextDelay` returns. */
  get boundMs(): number {
    return Math.min(this.maxMs, this.firstMs * 2 ** Math.min(this.attempts, 30));
  }

  /** The delay before the next attempt; one that the server named is used as it is. */
  nextDelay(retryAfterMs?: number): number {
    const bound = this.boundMs;
    this.attempts += 1;
    return retryAfterMs ?? this.random() * bound;
  }

  /** Starts again with the first bound; for a connection that has proved stable. */
  reset(): void {
    this.attempts = 0;
  }
}
