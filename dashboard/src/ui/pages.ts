// Lists of the API, read page by page.

import { useInfiniteQuery } from "@tanstack/preact-query";
import { useApi } from "../api/organization.js";
import type { AnyPage } from "../api/types.js";

type Query = Record<string, string | number | null | undefined>;

/** The items of a list so far, and how to read more. `name` is the plural in the answer. */
export function usePages<Item>(
  key: unknown[],
  path: string,
  name: string,
  query: Query = {},
  options: { refetchInterval?: number; enabled?: boolean } = {},
) {
  const api = useApi();
  const result = useInfiniteQuery({
    queryKey: [...key, query],
    queryFn: ({ pageParam, signal }) =>
      api.get<AnyPage>(path, { ...query, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    ...options,
  });
  return {
    ...result,
    // A page of a search may be empty without being the last one.
    items: result.data?.pages.flatMap((page) => page[name] as Item[]),
  };
}
