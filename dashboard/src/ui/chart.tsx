import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../api/store.js";
import { calendarDay, compact, dateTime, day, shortTime } from "../app/format.js";
import { appearance } from "../app/preferences.js";

export interface Series {
  label: string;
  values: (number | null)[];
}

/** Lines, or bars, over time; `times` are in seconds. A table of the same numbers is there for screen readers. */
export function Chart({
  label,
  times,
  series,
  kind = "line",
  height = 220,
  format = compact,
  isByDay = false,
}: {
  label: string;
  times: number[];
  series: Series[];
  kind?: "line" | "bars";
  height?: number;
  format?: (value: number) => string;
  /** The times are dates of the calendar, which have no time zone. */
  isByDay?: boolean;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const { theme, timezone } = useStore(appearance);
  const names = series.map((each) => each.label).join();
  const data = [times, ...series.map((each) => each.values)] as uPlot.AlignedData;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const created = new uPlot(
      options({ width: element.clientWidth, height, series, kind, format, timezone, isByDay, step: stepOf(times) }),
      data,
      element,
    );
    plot.current = created;
    const observer = new ResizeObserver(() => created.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      created.destroy();
      plot.current = undefined;
    };
  }, [names, kind, height, theme, timezone, stepOf(times)]);

  useEffect(() => plot.current?.setData(data), [times, series]);

  return (
    <figure class="stack tight" style={{ margin: 0 }}>
      <div ref={box} class="chart" aria-hidden="true" />
      <figcaption class="visually-hidden">{describe(label, times, series, format)}</figcaption>
    </figure>
  );
}

function describe(label: string, times: number[], series: Series[], format: (value: number) => string): string {
  const last = times.at(-1);
  if (last === undefined) return `${label}: no values yet.`;
  const values = series.map((each) => `${each.label} ${format(each.values.at(-1) ?? 0)}`);
  return `${label}, last at ${dateTime(last * 1000)}: ${values.join(", ")}.`;
}

interface Look {
  width: number;
  height: number;
  series: Series[];
  kind: "line" | "bars";
  format: (value: number) => string;
  timezone: string;
  isByDay: boolean;
  /** Between two times, in seconds. */
  step: number;
}

function stepOf(times: number[]): number {
  return (times[1] ?? 0) - (times[0] ?? 0);
}

function options({ width, height, series, kind, format, timezone, isByDay, step }: Look): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  const axis = { stroke: color("--text-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const font = `12px ${color("--font")}`;
  const bars = uPlot.paths.bars?.({ size: [0.7, 48], radius: 0.15 });
  return {
    width,
    height,
    padding: [8, 8, 8, 0],
    tzDate: (seconds) => inTimezone(seconds, isByDay ? "UTC" : timezone),
    cursor: { y: false, points: { size: 6 } },
    scales: {
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
      // The first and the last bar are as wide as the others.
      ...(kind === "bars" && step > 0 && { x: { range: (_, min, max) => [min - step / 2, max + step / 2] } }),
    },
    axes: [
      {
        ...axis,
        font,
        grid: { show: false },
        values: (_, ticks, __, ___, increment) =>
          ticks.map((tick) => moment(tick, isByDay, increment >= 86_400)),
      },
      { ...axis, font, size: 52, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {
        label: isByDay ? "Day" : "Time",
        value: (_, seconds) => (seconds ? (isByDay ? moment(seconds, true, true) : dateTime(seconds * 1000)) : "–"),
      },
      ...series.map((each, i): uPlot.Series => {
        const stroke = color(`--chart-${i + 1}`);
        return {
          label: each.label,
          stroke,
          width: kind === "bars" ? 0 : 1.75,
          fill: kind === "bars" ? stroke : `${stroke}1f`,
          points: { show: false },
          value: (_, value: number | null) => (value === null ? "–" : format(value)),
          ...(kind === "bars" && bars && { paths: bars }),
        };
      }),
    ],
  };
}

function moment(seconds: number, isByDay: boolean, isLong: boolean): string {
  if (isByDay) return calendarDay(new Date(seconds * 1000).toISOString().slice(0, 10));
  return isLong ? day(seconds * 1000) : shortTime(seconds * 1000);
}

function inTimezone(seconds: number, timezone: string): Date {
  try {
    return uPlot.tzDate(new Date(seconds * 1000), timezone);
  } catch {
    return new Date(seconds * 1000);
  }
}
