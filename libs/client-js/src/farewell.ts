import { createError } from "./create-error.js";
import { AccessRevoked, ConnectionLost, type ServerError } from "./errors.js";
import type { Loss } from "./options.js";

const CLOSE_REFUSED = 4401;
const CLOSE_REVOKED = 4403;

/** What the server said before it closed the connection. */
export class Farewell {
  retryAfterMs: number | undefined;
  #error: ServerError | undefined;

  /** Notes an error that answers no frame: it may say why the connection ends. */
  note(error: ServerError, isAuthenticated: boolean): void {
    this.#error = error;
    // Later, a delay is that of one operation.
    if (!isAuthenticated) this.retryAfterMs = error.retryAfterMs ?? this.retryAfterMs;
  }

  /** What a close means. */
  loss(code: number, reason: string): Loss {
    if (code === CLOSE_REVOKED) return { event: "refused", error: new AccessRevoked(reason || "revoked") };
    if (code === CLOSE_REFUSED) {
      return { event: "refused", error: this.#error ?? createError(reason || "authentication_failed") };
    }
    const error = this.#error ?? new ConnectionLost(reason || "the connection was lost");
    if (this.retryAfterMs === undefined) return { event: "lost", error };
    return { event: "retry_later", error, retryAfterMs: this.retryAfterMs };
  }
}
