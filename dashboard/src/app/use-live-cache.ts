import { useQueryClient, type InfiniteData } from "@tanstack/preact-query";
import { useEffect, useRef } from "preact/hooks";
import { useApi } from "../api/organization.js";
import { useStore } from "../api/store.js";
import type { AnyPage, Client, PresenceFrame } from "../api/types.js";

// Lists are read again at most this often, however much happens.
const REFRESH_MS = 3_000;
const ACTIVITY_KEYS: Record<string, string[]> = {
  client: ["clients", "client"],
  channel: ["channels", "channel"],
  subject: ["subjects", "subject"],
  member: ["members"],
  account: ["account", "signing-keys"],
};

/** Keeps what is shown up to date with what the socket says. */
export function useLiveCache(): void {
  const { socket } = useApi();
  const queries = useQueryClient();
  const state = useStore(socket.state);

  useEffect(() => {
    const stale = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const showPresence = (frame: PresenceFrame): void => {
      const change = { status: frame.status, last_seen: frame.last_seen };
      queries.setQueriesData<InfiniteData<AnyPage>>(
        { queryKey: ["clients"] },
        (data) => data && { ...data, pages: data.pages.map((page) => withPresence(page, frame.client_id, change)) },
      );
    };
    const refresh = (keys: string[]): void => {
      for (const key of keys) stale.add(key);
      timer ??= setTimeout(() => {
        timer = undefined;
        for (const key of stale) void queries.invalidateQueries({ queryKey: [key] });
        stale.clear();
      }, REFRESH_MS);
    };
    const stopPresence = socket.on("presence", (frame) => {
      showPresence(frame);
      refresh(["client-status", "roster", "usage-current"]);
    });
    const stopActivity = socket.on("activity", ({ activity }) => {
      refresh(["activity", ...(ACTIVITY_KEYS[activity.type] ?? [])]);
    });
    return () => {
      stopPresence();
      stopActivity();
      clearTimeout(timer);
    };
  }, [socket, queries]);

  const wasConnected = useRef(false);
  useEffect(() => {
    if (state !== "connected") return;
    // Events between two connections were missed.
    if (wasConnected.current) void queries.invalidateQueries();
    wasConnected.current = true;
  }, [state, queries]);
}

function withPresence(
  page: AnyPage,
  clientId: string,
  change: Pick<Client, "status" | "last_seen">,
): AnyPage {
  const clients = page["clients"] as Client[] | undefined;
  if (!clients?.some((client) => client.client_id === clientId)) return page;
  return {
    ...page,
    clients: clients.map((client) =>
      client.client_id === clientId && client.status !== "suspended" ? { ...client, ...change } : client,
    ),
  };
}
