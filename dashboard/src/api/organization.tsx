// The organization that is shown: its credentials, its cache and its socket, which end together.

import { QueryClient, QueryClientProvider } from "@tanstack/preact-query";
import { createContext, type ComponentChildren } from "preact";
import { useContext, useEffect, useMemo } from "preact/hooks";
import { Problem, call, send, type Call, type Credentials } from "./rest.js";
import { end, isSignedIn, session } from "./session.js";
import { DashboardSocket } from "./socket.js";
import type { Organization, Role } from "./types.js";

const RANKS: Role[] = ["viewer", "member", "admin", "owner"];

export interface Api {
  tenantId: string;
  userId: string;
  organization: Organization;
  socket: DashboardSocket;
  /** Goes back to where organizations are chosen. */
  leave: () => void;
  get: <T>(path: string, query?: Call["query"], signal?: AbortSignal) => Promise<T>;
  /** A repetition with the same key is not executed again. */
  post: <T>(path: string, body?: unknown, key?: string) => Promise<T>;
  put: <T>(path: string, body: unknown) => Promise<T>;
  delete: <T>(path: string) => Promise<T>;
  /** A body of another media type than JSON. */
  download: (path: string, query: Call["query"], accept: string) => Promise<Response>;
  /** Whether the person has at least this role. */
  may: (least: Role) => boolean;
}

const Context = createContext<Api | undefined>(undefined);

export function useApi(): Api {
  const api = useContext(Context);
  if (!api) throw new Error("useApi outside of an organization");
  return api;
}

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        refetchOnWindowFocus: false,
        retry: (failures, error) => isPassing(error) && failures < 3,
        retryDelay: (failures, error) =>
          Math.max((error as Partial<Problem>).retryAfterS ?? 0, Math.min(8, 0.5 * 2 ** failures)) * 1000,
      },
    },
  });
}

/** The close code of a person who belongs to the organization no more, or of one that is deleted. */
const FORBIDDEN = 4403;

function isPassing(error: unknown): boolean {
  return error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
}

/** Ends the session where the token is not accepted any more. */
function watched<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    if (error instanceof Problem && error.status === 401) end("expired");
    throw error;
  });
}

/** The access token as it is now; it is renewed from time to time. */
function currentToken(): string {
  const current = session.get();
  return isSignedIn(current) ? current.token : "";
}

function createApi(organization: Organization, leave: () => void): Api {
  const tenantId = organization.account_id;
  const current = session.get();
  const credentials = (): Credentials => ({ token: currentToken(), tenantId });
  return {
    tenantId,
    userId: isSignedIn(current) ? current.userId : "",
    organization,
    socket: new DashboardSocket(currentToken, tenantId, (code) => (code === FORBIDDEN ? leave() : end("expired"))),
    leave,
    get: (path, query, signal) =>
      watched(call("GET", path, { ...(query && { query }), ...(signal && { signal }) }, credentials())),
    post: (path, body, key) =>
      watched(call("POST", path, { body: body ?? {}, ...(key && { idempotencyKey: key }) }, credentials())),
    put: (path, body) => watched(call("PUT", path, { body }, credentials())),
    delete: (path) => watched(call("DELETE", path, {}, credentials())),
    download: (path, query, accept) => watched(send("GET", path, { ...(query && { query }), accept }, credentials())),
    may: (least) => RANKS.indexOf(organization.role) >= RANKS.indexOf(least),
  };
}

export function OrganizationProvider({
  organization,
  onLeave,
  children,
}: {
  organization: Organization;
  onLeave: () => void;
  children: ComponentChildren;
}) {
  const queries = useMemo(createQueryClient, []);
  const api = useMemo(() => createApi(organization, onLeave), []);
  useEffect(() => {
    api.socket.open();
    return () => {
      api.socket.close();
      queries.clear();
    };
  }, [api, queries]);
  return (
    <QueryClientProvider client={queries}>
      <Context.Provider value={api}>{children}</Context.Provider>
    </QueryClientProvider>
  );
}
