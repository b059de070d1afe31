import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useNames } from "../../api/names.js";
import { useApi } from "../../api/organization.js";
import type { RankedUsage, Traffic } from "../../api/types.js";
import { bytes, number, utcDate } from "../../app/format.js";
import { Card, Meter } from "../../ui/basics.js";
import { Segments } from "../../ui/forms.js";
import { Empty, Loaded } from "../../ui/states.js";
import { shortId } from "../activity/words.js";

// The API ranks so many days at most.
const MAX_DAYS = 31;
const KINDS = [
  { value: "clients", label: "Clients" },
  { value: "channels", label: "Channels" },
];
type Kind = "clients" | "channels";

/** Who and what has the most messages. */
export function Leaderboard({ days }: { days: number }) {
  const api = useApi();
  const [kind, setKind] = useState<Kind>("clients");
  const query = {
    by: kind === "clients" ? "client" : "channel",
    start_date: utcDate(Math.min(days, MAX_DAYS) - 1),
    end_date: utcDate(),
  };
  const top = useQuery({
    queryKey: ["usage-top", query],
    queryFn: ({ signal }) => api.get<{ top: RankedUsage[] }>("/usage/top", query, signal),
  });
  return (
    <Card
      title="Busiest"
      actions={
        <Segments label="Kind" value={kind} options={KINDS} onChange={(value) => setKind(value as Kind)} />
      }
      flush
    >
      <Loaded query={top}>{(data) => <Ranking kind={kind} rows={data.top} />}</Loaded>
    </Card>
  );
}

function Ranking({ kind, rows }: { kind: Kind; rows: RankedUsage[] }) {
  const names = useNames(kind);
  const most = Math.max(1, ...rows.map(volume));
  if (rows.length === 0) return <Empty icon="chart-column" title="No messages in this time" />;
  return (
    <ol class="list">
      {rows.map((row) => {
        const name = names.get(row.id) ?? shortId(row.id);
        return (
          <li key={row.id} class="stack tight">
            <div class="row between">
              <Link href={`/${kind}/${row.id}`} class="grow truncate">
                {name}
              </Link>
              <span class="small muted number">
                {number(row.messages)} in · {number(row.deliveries)} out · {bytes(row.bytes_in)}
              </span>
            </div>
            <Meter percent={(volume(row) / most) * 100} label={`${name}, compared with the busiest`} isLimit={false} />
          </li>
        );
      })}
    </ol>
  );
}

function volume(row: Traffic): number {
  return row.messages + row.deliveries;
}
