import { ERRORS } from "./error-codes.js";
import { type ErrorFields, type ServerError, UnknownError } from "./errors.js";

/** The error of a code that the server sent. */
export function createError(code: string, fields: ErrorFields = {}): ServerError {
  const Known = ERRORS[code];
  return Known ? new Known(fields) : new UnknownError(fields, code);
}
