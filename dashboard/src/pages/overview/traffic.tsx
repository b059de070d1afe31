import { useMemo } from "preact/hooks";
import { useFilter } from "../../app/search-params.js";
import type { LiveUsage } from "../../api/types.js";
import { Card } from "../../ui/basics.js";
import { Chart } from "../../ui/chart.js";
import { Segments } from "../../ui/forms.js";
import type { Sample } from "./use-rates.js";

const SPANS = [
  { value: "live", label: "Live" },
  { value: "hour", label: "Hour" },
  { value: "day", label: "24 hours" },
];

interface Points {
  times: number[];
  messagesIn: number[];
  messagesOut: number[];
}

/** Messages over time: each second now, each minute of the last hour, each hour of the last day. */
export function Traffic({ usage, samples }: { usage: LiveUsage; samples: Sample[] }) {
  const [span, setSpan] = useFilter("span", "live");
  const points = useMemo(() => pointsOf(span, usage, samples), [span, usage, samples]);
  const unit = { live: "per second", hour: "per minute", day: "per hour" }[span] ?? "";
  return (
    <Card
      title={
        <>
          Messages <span class="faint small">{unit}</span>
        </>
      }
      actions={<Segments label="Span" value={span} options={SPANS} onChange={setSpan} />}
    >
      <Chart
        label={`Messages ${unit}`}
        times={points.times}
        series={[
          { label: "In", values: points.messagesIn },
          { label: "Out", values: points.messagesOut },
        ]}
      />
    </Card>
  );
}

function pointsOf(span: string, usage: LiveUsage, samples: Sample[]): Points {
  if (span === "live") {
    return {
      times: samples.map((each) => each.at),
      messagesIn: samples.map((each) => each.messagesIn),
      messagesOut: samples.map((each) => each.messagesOut),
    };
  }
  const rows =
    span === "hour"
      ? usage.minutes.map((each) => ({ ...each, at: each.minute }))
      : usage.hours.map((each) => ({ ...each, at: each.hour }));
  const sorted = rows.sort((a, b) => a.at.localeCompare(b.at));
  return {
    times: sorted.map((each) => new Date(each.at).getTime() / 1000),
    messagesIn: sorted.map((each) => each.messages),
    messagesOut: sorted.map((each) => each.deliveries),
  };
}
