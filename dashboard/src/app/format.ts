// Numbers, sizes and times in words, in the person's language and time zone.

import { appearance } from "./preferences.js";

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", DAY_S],
  ["hour", HOUR_S],
  ["minute", MINUTE_S],
  ["second", 1],
];
const SIZES = ["B", "KB", "MB", "GB", "TB"];

const cache = new Map<string, Intl.DateTimeFormat>();

function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const { language, timezone } = appearance.get();
  const key = `${language} ${timezone} ${JSON.stringify(options)}`;
  let found = cache.get(key);
  if (!found) {
    found = createFormatter(language, { ...options, timeZone: timezone });
    cache.set(key, found);
  }
  return found;
}

function createFormatter(language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat(language, options);
  } catch {
    // A language or time zone that this browser does not know.
    return new Intl.DateTimeFormat("en", { ...options, timeZone: "UTC" });
  }
}

export function dateTime(value: string | number | Date): string {
  return formatter({ dateStyle: "medium", timeStyle: "medium" }).format(new Date(value));
}

export function day(value: string | number | Date): string {
  return formatter({ month: "short", day: "numeric" }).format(new Date(value));
}

/** A date of the calendar, such as 2026-03-01, which has no time zone. */
export function calendarDay(date: string): string {
  const { language } = appearance.get();
  return createFormatter(language, { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(date));
}

export function time(value: string | number | Date): string {
  return formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(value));
}

export function shortTime(value: string | number | Date): string {
  return formatter({ hour: "2-digit", minute: "2-digit" }).format(new Date(value));
}

/** The time with milliseconds, of fixed width. */
export function clock(value: string): string {
  return formatter({
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
  }).format(new Date(value));
}

export function number(value: number): string {
  return value.toLocaleString(appearance.get().language, { maximumFractionDigits: value < 10 ? 1 : 0 });
}

export function compact(value: number): string {
  return value.toLocaleString(appearance.get().language, { notation: "compact", maximumFractionDigits: 1 });
}

export function bytes(value: number): string {
  let index = 0;
  let scaled = value;
  while (scaled >= 1024 && index < SIZES.length - 1) {
    scaled /= 1024;
    index += 1;
  }
  return `${number(scaled)} ${SIZES[index] ?? ""}`;
}

/** Such as "3 minutes ago". */
export function ago(value: string | null, now = Date.now()): string {
  if (!value) return "never";
  const seconds = (new Date(value).getTime() - now) / 1000;
  const [unit, size] = UNITS.find(([, s]) => Math.abs(seconds) >= s) ?? ["second", 1];
  const words = new Intl.RelativeTimeFormat(appearance.get().language, { numeric: "auto" });
  return Math.abs(seconds) < 5 ? "just now" : words.format(Math.round(seconds / size), unit);
}

/** A length of time in its largest units, such as "2 d 4 h". */
export function duration(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / DAY_S), "d"],
    [Math.floor((seconds % DAY_S) / HOUR_S), "h"],
    [Math.floor((seconds % HOUR_S) / MINUTE_S), "min"],
    [Math.floor(seconds % MINUTE_S), "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** Today's date in UTC, and earlier ones, as the usage API names them. */
export function utcDate(daysAgo = 0): string {
  return new Date(Date.now() - daysAgo * DAY_S * 1000).toISOString().slice(0, 10);
}
