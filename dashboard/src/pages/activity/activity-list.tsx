import { Link } from "wouter-preact";
import { useAllNames } from "../../api/names.js";
import type { Activity } from "../../api/types.js";
import { Ago, StatusBadge } from "../../ui/basics.js";
import { Empty } from "../../ui/states.js";
import { actionWords, actorName } from "./words.js";

/** Entries in short. */
export function ActivityList({ entries }: { entries: Activity[] }) {
  const names = useAllNames();
  if (entries.length === 0) {
    return (
      <Empty icon="scroll-text" title="Nothing happened yet">
        Changes, logins, connections and refusals appear here.
      </Empty>
    );
  }
  return (
    <ul class="list">
      {entries.map((entry) => (
        <li key={entry.activity_id} class="row between">
          <span class="grow truncate">
            <Link class="main-link" href={`/activity?entry=${entry.activity_id}`}>{actionWords(entry.action)}</Link>{" "}
            <span class="muted">by {actorName(entry, names)}</span>
          </span>
          {entry.status !== "success" && <StatusBadge status={entry.status} />}
          <span class="faint small">
            <Ago at={entry.timestamp} />
          </span>
        </li>
      ))}
    </ul>
  );
}
