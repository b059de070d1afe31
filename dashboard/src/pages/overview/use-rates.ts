import { useEffect, useState } from "preact/hooks";
import type { LiveUsage } from "../../api/types.js";

export interface Sample {
  /** In seconds. */
  at: number;
  messagesIn: number;
  messagesOut: number;
}

const MAX_SAMPLES = 120;

/** Messages per second between the looks at the live counters so far. */
export function useRates(usage: LiveUsage | undefined, readAtMs: number): Sample[] {
  const [samples, setSamples] = useState<Sample[]>([]);
  const [previous, setPrevious] = useState<{ at: number; messages: number; deliveries: number }>();
  useEffect(() => {
    if (!usage) return;
    const current = { at: readAtMs / 1000, messages: usage.today.messages, deliveries: usage.today.deliveries };
    setPrevious(current);
    if (!previous || current.at <= previous.at) return;
    const seconds = current.at - previous.at;
    // At midnight (UTC) the counters begin again.
    const rate = (now: number, before: number): number => Math.max(0, now - before) / seconds;
    setSamples((all) => [
      ...all.slice(1 - MAX_SAMPLES),
      {
        at: current.at,
        messagesIn: rate(current.messages, previous.messages),
        messagesOut: rate(current.deliveries, previous.deliveries),
      },
    ]);
  }, [readAtMs]);
  return samples;
}
