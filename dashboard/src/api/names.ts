import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { useApi } from "./organization.js";
import type { AnyPage, Channel, Client } from "./types.js";

const MAX_NAMES = 200;

/** The names of the first clients or channels by their ids; who is not among them is shown by id. */
export function useNames(kind: "clients" | "channels"): Map<string, string> {
  const api = useApi();
  const { data } = useQuery({
    queryKey: ["names", kind],
    queryFn: ({ signal }) => api.get<AnyPage>(`/${kind}`, { limit: MAX_NAMES }, signal),
    select: (page) =>
      new Map(
        (page[kind] as (Client | Channel)[]).map((each) => [
          "client_id" in each ? each.client_id : each.channel_id,
          each.name,
        ]),
      ),
    staleTime: 60_000,
  });
  return data ?? NONE;
}

/** The names of clients and channels together. */
export function useAllNames(): Map<string, string> {
  const clients = useNames("clients");
  const channels = useNames("channels");
  return useMemo(() => new Map([...clients, ...channels]), [clients, channels]);
}

const NONE = new Map<string, string>();
