import type { CurrentUsage, LimitUse } from "../../api/types.js";
import { bytes, calendarDay, compact, number } from "../../app/format.js";
import { Badge, Card, Meter } from "../../ui/basics.js";

interface Row {
  label: string;
  use: LimitUse;
  format: (value: number) => string;
}

/** What is used of each limit of the plan. */
export function PlanLimits({ usage }: { usage: CurrentUsage }) {
  const rows: Row[] = [
    { label: "Messages this month", use: usage.messages, format: compact },
    { label: "Clients", use: usage.clients, format: number },
    { label: "Channels", use: usage.channels, format: number },
    { label: "Connections now", use: usage.connections, format: number },
    { label: "Reserved storage", use: usage.storage_bytes, format: bytes },
  ];
  return (
    <Card title="Use of the plan" actions={<Badge tone="info">{usage.plan}</Badge>}>
      <ul class="stack">
        {rows.map((row) => (
          <li key={row.label} class="stack tight">
            <div class="row between small">
              <span>{row.label}</span>
              <span class="number muted">
                {row.format(row.use.used)} {row.use.limit === null ? "· no limit" : `of ${row.format(row.use.limit)}`}
              </span>
            </div>
            {row.use.percent !== null && <Meter percent={row.use.percent} label={row.label} />}
            {row.use.projected !== undefined && (
              <span class="small faint">
                At this pace {compact(row.use.projected)} by {calendarDay(usage.period_end)}
              </span>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}
