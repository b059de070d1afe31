// The errors that the client raises. Those of the server are one class for each code, in `error-codes.ts`.

/** The base of every error of this package. */
export class ArtcafeError extends Error {
  // Written out, because a minified class has another name.
  override readonly name: string = "ArtcafeError";
}

/** `connect` was given too little, or the platform lacks something that the client needs. */
export class ConfigurationError extends ArtcafeError {
  override readonly name = "ConfigurationError";
}

/** The server could not be reached in time. */
export class ConnectionFailed extends ArtcafeError {
  override readonly name = "ConnectionFailed";
}

/** There is no connection now, and the client has no offline buffer; nothing was sent. */
export class NotConnected extends ArtcafeError {
  override readonly name = "NotConnected";
}

/** The connection broke before the answer arrived. */
export class ConnectionLost extends ArtcafeError {
  override readonly name = "ConnectionLost";
}

/** The client was closed or drained. */
export class ClientClosed extends ArtcafeError {
  override readonly name = "ClientClosed";
}

/** The offline buffer has no room for another message; nothing was sent. */
export class OfflineBufferFull extends ArtcafeError {
  override readonly name = "OfflineBufferFull";
}

/** A subscription's queue was full, and its overflow policy is to end it. */
export class SlowSubscriber extends ArtcafeError {
  override readonly name = "SlowSubscriber";
}

/** The client was deleted or suspended, or its key was replaced; the message says which. */
export class AccessRevoked extends ArtcafeError {
  override readonly name = "AccessRevoked";
}

/**
 * Messages of a channel are not stored any more: those with a `seq` from `fromSeq` to `toSeq`, both included.
 *
 * Iterating a subscription throws it once; iterating again continues behind the gap.
 */
export class GapError extends ArtcafeError {
  override readonly name = "GapError";

  constructor(
    readonly channel: string,
    readonly fromSeq: number,
    readonly toSeq: number,
  ) {
    super(`messages ${fromSeq} to ${toSeq} of channel ${channel} are not stored any more`);
  }
}

/** What the server says about an error. */
export interface ErrorFields {
  message?: string | undefined;
  retryAfterMs?: number | undefined;
  detail?: unknown;
}

/** The server answered with an error; each code has a class of its own. */
export class ServerError extends ArtcafeError {
  static readonly code: string = "";
  static readonly status: number = 0;

  /** The name of the class. */
  override readonly name: string;
  /** The stable code of the error. */
  readonly code: string;
  /** The HTTP status of the error over REST; 0 if this version does not know the code. */
  readonly status: number;
  /** The shortest time before a retry, if the server named one. */
  readonly retryAfterMs: number | undefined;
  /** Depends on the code. */
  readonly detail: unknown;
  /** The id of a message that was published to a channel: with it, it can be published again. */
  messageId: string | undefined;

  constructor(fields: ErrorFields = {}, code = new.target.code) {
    super(fields.message ?? code);
    this.name = new.target.code === "" ? "ServerError" : className(code);
    this.code = code;
    this.status = new.target.status;
    this.retryAfterMs = fields.retryAfterMs;
    this.detail = fields.detail;
  }
}

/** The server answered with a code that this version of the package does not know. */
export class UnknownError extends ServerError {
  override readonly name = "UnknownError";
}

/** `forbidden_subject` is the code of ForbiddenSubject; the few classes with another name say so. */
function className(code: string): string {
  return code.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
