// Calls of the REST API.

export interface FieldProblem {
  field: string;
  message: string;
}

/** An answer that is no success, as RFC 9457 describes it; `code` is "unreachable" where nothing answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: FieldProblem[] = [],
    readonly retryAfterS = 0,
  ) {
    super(message);
  }
}

export interface Call {
  query?: Record<string, string | number | null | undefined>;
  body?: unknown;
  /** A repetition with the same key is not executed again. */
  idempotencyKey?: string;
  /** The media type of the answer; JSON by default. */
  accept?: string;
  /** Further headers. */
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface Credentials {
  token: string;
  tenantId: string;
}

const BASE = "/api/v1";

/** The JSON body of an answer. Rejects with a Problem. */
export async function call<T>(
  method: string,
  path: string,
  options: Call = {},
  credentials?: Partial<Credentials>,
): Promise<T> {
  const response = await send(method, path, options, credentials);
  const text = await response.text();
  return (text ? JSON.parse(text) : null) as T;
}

/** An answer that is a success. Rejects with a Problem. */
export async function send(
  method: string,
  path: string,
  { query = {}, body, idempotencyKey, accept, headers: extra = {}, signal }: Call = {},
  credentials: Partial<Credentials> = {},
): Promise<Response> {
  const url = new URL(BASE + path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  const headers = new Headers(extra);
  if (accept) headers.set("Accept", accept);
  if (credentials.token) headers.set("Authorization", `Bearer ${credentials.token}`);
  if (credentials.tenantId) headers.set("X-Tenant-Id", credentials.tenantId);
  if (idempotencyKey) headers.set("Idempotency-Key", idempotencyKey);
  if (body !== undefined) headers.set("Content-Type", "application/json");
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
      credentials: "same-origin",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The service cannot be reached. Check the network, and try again.");
  }
  if (!response.ok) throw await readProblem(response);
  return response;
}

async function readProblem(response: Response): Promise<Problem> {
  const retryAfterS = Number(response.headers.get("Retry-After") ?? 0);
  try {
    const body = (await response.json()) as {
      code?: string;
      title?: string;
      detail?: string;
      errors?: FieldProblem[];
    };
    const text = body.detail ?? body.title ?? `Status ${response.status}`;
    return new Problem(response.status, body.code ?? "unknown", sentence(text), body.errors, retryAfterS);
  } catch {
    return new Problem(response.status, "unknown", `The service answered with status ${response.status}.`, [], retryAfterS);
  }
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
