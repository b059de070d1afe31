import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useAllNames } from "../../api/names.js";
import type { Activity } from "../../api/types.js";
import { dateTime } from "../../app/format.js";
import { Ago, StatusBadge } from "../../ui/basics.js";
import { JsonView } from "../../ui/json-view.js";
import { Empty } from "../../ui/states.js";
import { actionWords, actorName, nameOf, pageOf } from "./words.js";

/** Entries with their details on request. */
export function ActivityTable({
  entries,
  opened,
  onOpen,
  onActor,
  onResource,
}: {
  entries: Activity[];
  opened?: string;
  onOpen?: (id: string) => void;
  onActor?: (actor: string) => void;
  onResource?: (resource: string) => void;
}) {
  const names = useAllNames();
  const [own, setOwn] = useState("");
  const current = opened ?? own;
  const open = onOpen ?? setOwn;
  if (entries.length === 0) {
    return (
      <Empty icon="scroll-text" title="No entries">
        Nothing of this kind happened in this time.
      </Empty>
    );
  }
  return (
    <table class="table cards">
      <thead>
        <tr>
          <th>What</th>
          <th>Outcome</th>
          <th>Who</th>
          <th>About</th>
          <th>When</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => {
          const isOpen = entry.activity_id === current;
          return (
            <Fragment key={entry.activity_id}>
              <tr>
                <td>
                  <button
                    type="button"
                    class="button quiet small"
                    aria-expanded={isOpen}
                    onClick={() => open(isOpen ? "" : entry.activity_id)}
                  >
                    {actionWords(entry.action)}
                  </button>
                </td>
                <td>
                  <StatusBadge status={entry.status} />
                </td>
                <td class="truncate">{actorName(entry, names)}</td>
                <td class="optional">
                  <Resource resource={entry.resource} names={names} />
                </td>
                <td class="muted">
                  <Ago at={entry.timestamp} />
                </td>
              </tr>
              {isOpen && (
                <tr>
                  <td colSpan={5}>
                    <Details entry={entry} onActor={onActor} onResource={onResource} />
                  </td>
                </tr>
              )}
            </Fragment>
          );
        })}
      </tbody>
    </table>
  );
}

function Resource({ resource, names }: { resource: string; names: Map<string, string> }) {
  const page = pageOf(resource);
  const words = nameOf(resource, names);
  return page ? <Link href={page}>{words}</Link> : <span class="muted">{words}</span>;
}

function Details({
  entry,
  onActor,
  onResource,
}: {
  entry: Activity;
  onActor: ((actor: string) => void) | undefined;
  onResource: ((resource: string) => void) | undefined;
}) {
  return (
    <div class="stack tight">
      <dl class="facts">
        <dt>Action</dt>
        <dd class="mono">{entry.action}</dd>
        <dt>Time</dt>
        <dd>{dateTime(entry.timestamp)}</dd>
        <dt>Actor</dt>
        <dd class="mono">{entry.actor}</dd>
        <dt>Resource</dt>
        <dd class="mono">{entry.resource}</dd>
        {entry.ip && (
          <>
            <dt>Address</dt>
            <dd class="mono">{entry.ip}</dd>
          </>
        )}
        {entry.user_agent && (
          <>
            <dt>Program</dt>
            <dd>{entry.user_agent}</dd>
          </>
        )}
      </dl>
      {Object.keys(entry.metadata).length > 0 && <JsonView value={entry.metadata} />}
      <div class="row wrap">
        {onActor && (
          <button type="button" class="button small" onClick={() => onActor(entry.actor)}>
            Everything by this actor
          </button>
        )}
        {onResource && (
          <button type="button" class="button small" onClick={() => onResource(entry.resource)}>
            Everything about this
          </button>
        )}
      </div>
    </div>
  );
}
