// What needs attention, from what the page knows anyway.

import type { Activity, CurrentUsage, PlatformStatus, RosterEntry, SubjectRecord } from "../../api/types.js";

export interface Finding {
  tone: "bad" | "warn" | "info";
  text: string;
  action: string;
  to: string;
}

const NEAR_PERCENT = 80;
const LIMITS = [
  ["clients", "clients", "/clients"],
  ["channels", "channels", "/channels"],
  ["connections", "connections", "/clients?status=online"],
  ["storage_bytes", "storage", "/channels"],
] as const;

export interface Known {
  usage?: CurrentUsage | undefined;
  roster?: RosterEntry[] | undefined;
  denied?: Activity[] | undefined;
  subjects?: SubjectRecord[] | undefined;
  health?: PlatformStatus | undefined;
}

export function findings({ usage, roster, denied, subjects, health }: Known): Finding[] {
  const found: Finding[] = [];
  if (health && health.status !== "ok") {
    found.push({ tone: "bad", text: "A part of the service does not answer.", action: "See its health", to: "/health" });
  }
  if (usage) found.push(...quota(usage), ...nearLimits(usage));
  for (const entry of roster ?? []) {
    if (entry.status === "online" && (entry.health === "unhealthy" || entry.health === "degraded")) {
      found.push({
        tone: entry.health === "unhealthy" ? "bad" : "warn",
        text: `${entry.name} is ${entry.health}.`,
        action: "Inspect",
        to: `/clients/${entry.client_id}`,
      });
    }
  }
  for (const subject of subjects ?? []) {
    if (subject.status === "refused") {
      found.push({
        tone: "bad",
        text: `The broker refused to store ${subject.pattern}.`,
        action: "Change it",
        to: `/channels/subjects/${subject.subject_id}`,
      });
    }
  }
  if (denied?.length) {
    found.push({
      tone: "warn",
      text: `${denied.length === 1 ? "1 refusal" : `${denied.length} refusals`} in the last 24 hours.`,
      action: "See who and why",
      to: "/activity?status=denied",
    });
  }
  if (roster?.length === 0) {
    found.push({ tone: "info", text: "There is no client yet.", action: "Create the first one", to: "/clients?new=1" });
  }
  return found;
}

function quota({ messages }: CurrentUsage): Finding[] {
  if (messages.limit === null || messages.percent === null) return [];
  if (messages.percent >= 100) {
    return [{ tone: "bad", text: "The month's messages are used up: publishing is refused.", action: "See the usage", to: "/usage" }];
  }
  if (messages.percent >= NEAR_PERCENT || (messages.projected ?? 0) > messages.limit) {
    return [{ tone: "warn", text: "The month's messages will not suffice at this pace.", action: "See who sends", to: "/usage" }];
  }
  return [];
}

function nearLimits(usage: CurrentUsage): Finding[] {
  return LIMITS.flatMap(([key, words, to]) => {
    const percent = usage[key].percent;
    if (percent === null || percent < NEAR_PERCENT) return [];
    const text = percent >= 100 ? `The plan's limit of ${words} is reached.` : `${Math.round(percent)} % of the plan's ${words} are used.`;
    return [{ tone: percent >= 100 ? ("bad" as const) : ("warn" as const), text, action: `See the ${words}`, to }];
  });
}
