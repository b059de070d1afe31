import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { CurrentUsage, LiveUsage, UsageMetrics } from "../../api/types.js";
import { bytes, compact, number, utcDate } from "../../app/format.js";
import { useFilter } from "../../app/search-params.js";
import { Card, PageHead, saveAs } from "../../ui/basics.js";
import { Chart } from "../../ui/chart.js";
import { Segments } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Loaded } from "../../ui/states.js";
import { toastError } from "../../ui/toasts.js";
import { PlanLimits } from "../overview/limits.js";
import { DayChart, DayTable } from "./days.js";
import { Leaderboard } from "./leaderboard.js";

const SPANS = [
  { value: "1", label: "24 hours" },
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
];

const CSV = "text/csv";

export function UsagePage() {
  const api = useApi();
  const [days, setDays] = useFilter("days", "30");
  const query = { start_date: utcDate(Number(days) - 1), end_date: utcDate() };
  const metrics = useQuery({
    queryKey: ["usage-days", query],
    queryFn: ({ signal }) => api.get<UsageMetrics>("/usage/metrics", query, signal),
  });
  const current = useQuery({
    queryKey: ["usage-current"],
    queryFn: ({ signal }) => api.get<CurrentUsage>("/usage/current", {}, signal),
  });
  const live = useQuery({
    queryKey: ["usage-live"],
    queryFn: ({ signal }) => api.get<LiveUsage>("/usage/local/stats", {}, signal),
    refetchInterval: 15_000,
  });
  const save = (): void => {
    api
      .download("/usage/metrics", query, CSV)
      .then(async (answer) => saveAs(`usage-${query.start_date}-${query.end_date}.csv`, CSV, await answer.blob()))
      .catch(toastError);
  };
  return (
    <div class="page">
      <PageHead title="Usage" text="What the organization sends and receives, over every transport.">
        <Segments label="Time" value={days} options={SPANS} onChange={setDays} />
        <button
          type="button"
          class="button"
          onClick={save}
        >
          <Icon name="download" size={14} /> CSV
        </button>
      </PageHead>
      <Loaded query={metrics}>{(data) => <Totals data={data} />}</Loaded>
      <div class="grid-main">
        <div class="stack">
          <Card title={days === "1" ? "Messages by hour" : "Messages by day (UTC)"}>
            {days === "1" ? (
              <Loaded query={live}>{(data) => <HourChart usage={data} />}</Loaded>
            ) : (
              <Loaded query={metrics}>{(data) => <DayChart days={data.daily} />}</Loaded>
            )}
          </Card>
          <Card title="By day" flush>
            <Loaded query={metrics}>{(data) => <DayTable days={data.daily} />}</Loaded>
          </Card>
        </div>
        <div class="stack">
          <Loaded query={current}>{(data) => <PlanLimits usage={data} />}</Loaded>
          <Leaderboard days={Number(days)} />
        </div>
      </div>
    </div>
  );
}

function Totals({ data: { totals } }: { data: UsageMetrics }) {
  const shown: [string, string][] = [
    ["Messages", number(totals.messages)],
    ["Deliveries", number(totals.deliveries)],
    ["Received and sent", `${bytes(totals.bytes_in)} / ${bytes(totals.bytes_out)}`],
    ["API calls", compact(totals.api_calls)],
  ];
  return (
    <div class="grid-4">
      {shown.map(([label, value]) => (
        <section key={label} class="card stat">
          <div class="muted small">{label}</div>
          <div class="value">{value}</div>
        </section>
      ))}
    </div>
  );
}

function HourChart({ usage }: { usage: LiveUsage }) {
  const points = useMemo(() => {
    const sorted = [...usage.hours].sort((a, b) => a.hour.localeCompare(b.hour));
    return {
      times: sorted.map((each) => new Date(each.hour).getTime() / 1000),
      messages: sorted.map((each) => each.messages),
    };
  }, [usage]);
  return (
    <Chart
      label="Messages by hour"
      kind="bars"
      times={points.times}
      series={[{ label: "Messages", values: points.messages }]}
    />
  );
}
