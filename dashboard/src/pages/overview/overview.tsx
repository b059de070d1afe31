import { useQuery } from "@tanstack/preact-query";
import type { ComponentChildren } from "preact";
import { Link } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Activity, CurrentUsage, LiveUsage, Page, PlatformStatus, Refusals, RosterEntry, SubjectRecord } from "../../api/types.js";
import { compact, number } from "../../app/format.js";
import { Badge, Card, PageHead } from "../../ui/basics.js";
import { Empty, Loaded } from "../../ui/states.js";
import { ActivityList } from "../activity/activity-list.js";
import { findings, type Finding } from "./attention.js";
import { PlanLimits } from "./limits.js";
import { Traffic } from "./traffic.js";
import { useRates } from "./use-rates.js";

const COUNTERS_MS = 3_000;
const MAX_LISTED = 200;

export function OverviewPage() {
  const api = useApi();
  const live = useQuery({
    queryKey: ["usage-live"],
    queryFn: ({ signal }) => api.get<LiveUsage>("/usage/local/stats", {}, signal),
    refetchInterval: COUNTERS_MS,
  });
  const usage = useQuery({
    queryKey: ["usage-current"],
    queryFn: ({ signal }) => api.get<CurrentUsage>("/usage/current", {}, signal),
    refetchInterval: 60_000,
  });
  const roster = useQuery({
    queryKey: ["roster"],
    queryFn: ({ signal }) => api.get<Page<"roster", RosterEntry>>("/roster", { limit: MAX_LISTED }, signal),
  });
  const denied = useQuery({
    queryKey: ["activity", "denied"],
    queryFn: ({ signal }) =>
      api.get<Page<"logs", Activity>>("/activity/logs", { status: "denied", hours: 24, limit: MAX_LISTED }, signal),
  });
  const refusals = useQuery({
    queryKey: ["usage-refusals"],
    queryFn: ({ signal }) => api.get<Refusals>("/usage/refusals", { hours: 24 }, signal),
    refetchInterval: 60_000,
  });
  const recent = useQuery({
    queryKey: ["activity", "recent"],
    queryFn: ({ signal }) => api.get<Page<"logs", Activity>>("/activity/logs", { hours: 24, limit: 8 }, signal),
  });
  const subjects = useQuery({
    queryKey: ["subjects", "all"],
    queryFn: ({ signal }) => api.get<Page<"subjects", SubjectRecord>>("/subjects", { limit: MAX_LISTED }, signal),
  });
  const health = useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => api.get<PlatformStatus>("/status", {}, signal),
  });
  const samples = useRates(live.data, live.dataUpdatedAt);
  const last = samples.at(-1);
  const online = roster.data?.roster.filter((each) => each.status === "online").length;
  const isMore = roster.data?.next_cursor ? "+" : "";
  const found = findings({
    usage: usage.data,
    roster: roster.data?.roster,
    denied: denied.data?.logs,
    subjects: subjects.data?.subjects,
    health: health.data,
  });
  return (
    <div class="page">
      <PageHead title="Overview" text={`What ${api.organization.name} does now.`} />
      <div class="grid-4">
        <Stat label="Online now" value={online === undefined ? undefined : number(online) + isMore} to="/clients?status=online">
          of {roster.data ? number(roster.data.roster.length) + isMore : "…"} clients
        </Stat>
        <Stat label="Messages in" value={last && number(last.messagesIn)} to="/live">
          per second · {live.data ? compact(live.data.today.messages) : "…"} today
        </Stat>
        <Stat label="Messages out" value={last && number(last.messagesOut)} to="/usage">
          per second · {live.data ? compact(live.data.today.deliveries) : "…"} today
        </Stat>
        <Stat label="Refusals" value={refusals.data && compact(total(refusals.data))} to="/activity?status=denied">
          in the last 24 hours
        </Stat>
      </div>
      <div class="grid-main">
        <div class="stack">
          <Loaded query={live} rows={6}>
            {(data) => <Traffic usage={data} samples={samples} />}
          </Loaded>
          <Card title="Latest activity" actions={<Link href="/activity">All activity</Link>} flush>
            <Loaded query={recent}>{(page) => <ActivityList entries={page.logs} />}</Loaded>
          </Card>
        </div>
        <div class="stack">
          <Attention findings={found} />
          <Loaded query={usage} rows={6}>
            {(data) => <PlanLimits usage={data} />}
          </Loaded>
          <Card title="Refusals by error code" flush>
            <Loaded query={refusals}>{(data) => <RefusalList refusals={data} />}</Loaded>
          </Card>
        </div>
      </div>
    </div>
  );
}

function Stat({
  label,
  value,
  to,
  children,
}: {
  label: string;
  value: string | undefined;
  to: string;
  children: ComponentChildren;
}) {
  return (
    <section class="card stat">
      <Link href={to} class="muted small">
        {label}
      </Link>
      <div class="value">{value ?? "…"}</div>
      <div class="small faint">{children}</div>
    </section>
  );
}

function Attention({ findings: found }: { findings: Finding[] }) {
  return (
    <Card title="Needs attention" flush>
      {found.length === 0 ? (
        <Empty icon="circle-check" title="Nothing">
          Everything is as it should be.
        </Empty>
      ) : (
        <ul class="list">
          {found.map((each) => (
            <li key={each.text} class="row">
              <span class={`dot ${each.tone === "info" ? "" : each.tone}`} />
              <span class="grow">{each.text}</span>
              <Link href={each.to} class="button small">
                {each.action}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function total({ totals }: Refusals): number {
  return Object.values(totals).reduce((sum, count) => sum + count, 0);
}

function RefusalList({ refusals }: { refusals: Refusals }) {
  const sorted = Object.entries(refusals.totals).sort((a, b) => b[1] - a[1]);
  if (sorted.length === 0) return <Empty icon="shield-check" title="No refusals in 24 hours" />;
  return (
    <ul class="list">
      {sorted.map(([code, count]) => (
        <li key={code} class="row between">
          <a class="mono" href={`/problems/${code}`} target="_blank" rel="noreferrer">
            {code}
          </a>
          <Badge tone="bad">{number(count)}</Badge>
        </li>
      ))}
    </ul>
  );
}
