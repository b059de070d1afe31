import { useMemo } from "preact/hooks";
import type { Traffic } from "../../api/types.js";
import { bytes, calendarDay, number } from "../../app/format.js";
import { Chart } from "../../ui/chart.js";
import { Empty } from "../../ui/states.js";

export type Day = Traffic & { date: string; api_calls?: number; active_clients?: number };

/** Messages of each day as bars. */
export function DayChart({ days }: { days: Day[] }) {
  const points = useMemo(
    () => ({
      times: days.map((day) => new Date(day.date).getTime() / 1000),
      messages: days.map((day) => day.messages),
    }),
    [days],
  );
  return (
    <Chart
      label="Messages by day"
      kind="bars"
      isByDay
      times={points.times}
      series={[{ label: "Messages", values: points.messages }]}
    />
  );
}

export function DayTable({ days }: { days: Day[] }) {
  const shown = days.filter((day) => day.messages || day.deliveries || day.api_calls).reverse();
  const hasCalls = days.some((day) => day.api_calls !== undefined);
  if (shown.length === 0) return <Empty icon="chart-column" title="No messages in this time" />;
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label="Usage by day">
      <table class="table">
        <thead>
          <tr>
            <th>Day (UTC)</th>
            <th class="end">Messages</th>
            <th class="end">Deliveries</th>
            <th class="end">Bytes in</th>
            <th class="end">Bytes out</th>
            {hasCalls && <th class="end">API calls</th>}
            {hasCalls && <th class="end">Active clients</th>}
          </tr>
        </thead>
        <tbody>
          {shown.map((day) => (
            <tr key={day.date}>
              <td>{calendarDay(day.date)}</td>
              <td class="end number">{number(day.messages)}</td>
              <td class="end number">{number(day.deliveries)}</td>
              <td class="end number">{bytes(day.bytes_in)}</td>
              <td class="end number">{bytes(day.bytes_out)}</td>
              {hasCalls && <td class="end number">{number(day.api_calls ?? 0)}</td>}
              {hasCalls && <td class="end number">{number(day.active_clients ?? 0)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
