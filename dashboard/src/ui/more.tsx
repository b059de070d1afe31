import type { ComponentChildren } from "preact";
import { Failed, Loading } from "./states.js";

interface Pages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

interface List<Item> extends Pages {
  items: Item[] | undefined;
  isPending: boolean;
  error: unknown;
  refetch: () => unknown;
}

/** A list that is read page by page: its items, `empty` without any, and what stands for them until they are there. */
export function Listed<Item>({
  list,
  rows,
  empty,
  children,
}: {
  list: List<Item>;
  rows?: number;
  empty?: ComponentChildren;
  children: (items: Item[]) => ComponentChildren;
}) {
  const { items } = list;
  if (!items) {
    return list.isPending ? (
      <Loading {...(rows !== undefined && { rows })} />
    ) : (
      <Failed error={list.error} retry={list.refetch} />
    );
  }
  return (
    <>
      {empty && items.length === 0 ? empty : children(items)}
      <More list={list} />
    </>
  );
}

/** Reads the next page of a list, if there is one. */
export function More({ list }: { list: Pages }) {
  if (!list.hasNextPage) return null;
  return (
    <div class="table-foot">
      <button
        type="button"
        class="button small"
        disabled={list.isFetchingNextPage}
        onClick={() => void list.fetchNextPage()}
      >
        {list.isFetchingNextPage ? "Loading…" : "Show more"}
      </button>
    </div>
  );
}
