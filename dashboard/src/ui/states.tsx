// What a list or a page shows while it loads, when it is empty, and when it failed.

import type { ComponentChildren } from "preact";
import { Problem } from "../api/rest.js";
import { Note } from "./basics.js";
import { Icon, type IconName } from "./icon.js";

export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div class="card-body stack" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} class="skeleton" style={{ inlineSize: `${92 - ((i * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

export function Empty({
  icon,
  title,
  children,
  action,
}: {
  icon: IconName;
  title: string;
  children?: ComponentChildren;
  action?: ComponentChildren;
}) {
  return (
    <div class="empty">
      <Icon name={icon} size={28} />
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}

export function Failed({ error, retry }: { error: unknown; retry?: () => unknown }) {
  return (
    <div class="card-body">
      <Note tone="bad">
        <div class="row between wrap">
          <span>
            {messageOf(error)} {error instanceof Problem && <span class="faint">({error.code})</span>}
          </span>
          {retry && (
            <button type="button" class="button small" onClick={() => void retry()}>
              Try again
            </button>
          )}
        </div>
      </Note>
    </div>
  );
}

interface Result<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** The content of a query that has data, and what stands for it until then. */
export function Loaded<T>({
  query,
  rows,
  children,
}: {
  query: Result<T>;
  rows?: number;
  children: (data: T) => ComponentChildren;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isPending) return <Loading {...(rows !== undefined && { rows })} />;
  return <Failed error={query.error} retry={query.refetch} />;
}
