// Small parts that every page uses.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ago, dateTime } from "../app/format.js";
import { useStore } from "../api/store.js";
import { appearance } from "../app/preferences.js";
import { Icon, type IconName } from "./icon.js";

export type Tone = "" | "ok" | "warn" | "bad" | "info";

export function Badge({ tone = "", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

const STATUS_TONES: Record<string, Tone> = {
  online: "ok",
  connected: "ok",
  active: "ok",
  healthy: "ok",
  ok: "ok",
  success: "ok",
  suspended: "warn",
  degraded: "warn",
  warning: "warn",
  pending: "warn",
  unhealthy: "bad",
  denied: "bad",
  refused: "bad",
  unavailable: "bad",
};

export function toneOf(status: string): Tone {
  return STATUS_TONES[status] ?? "";
}

/** A status as a word with a colored dot. */
export function StatusBadge({ status }: { status: string }) {
  const tone = toneOf(status);
  return (
    <Badge tone={tone}>
      <span class={`dot ${tone}`} />
      {status}
    </Badge>
  );
}

export function Note({ tone = "", icon, children }: { tone?: Tone; icon?: IconName; children: ComponentChildren }) {
  const fallback: IconName = tone === "ok" ? "circle-check" : tone === "warn" || tone === "bad" ? "triangle-alert" : "info";
  return (
    <div class={`note ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={icon ?? fallback} />
      <div class="grow">{children}</div>
    </div>
  );
}

export function PageHead({
  title,
  text,
  children,
}: {
  title: string;
  text?: ComponentChildren;
  children?: ComponentChildren;
}) {
  useEffect(() => {
    document.title = `${title} · ArtCafe PubSub`;
  }, [title]);
  return (
    <header class="page-head">
      <div class="grow">
        <h1>{title}</h1>
        {text && <p>{text}</p>}
      </div>
      {children && <div class="toolbar">{children}</div>}
    </header>
  );
}

export function Card({
  title,
  actions,
  children,
  flush = false,
}: {
  title?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
  /** The content reaches the border. */
  flush?: boolean;
}) {
  return (
    <section class="card">
      {title !== undefined && (
        <div class="card-head">
          <h2>{title}</h2>
          {actions && <div class="row">{actions}</div>}
        </div>
      )}
      {flush ? children : <div class="card-body">{children}</div>}
    </section>
  );
}

/** A time in words that stay true, with the exact time behind it. */
export function Ago({ at }: { at: string | null }) {
  useStore(appearance);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 15_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span class="faint">never</span>;
  return (
    <time dateTime={at} title={dateTime(at)}>
      {ago(at)}
    </time>
  );
}

export function Meter({
  percent,
  label,
  isLimit = true,
}: {
  percent: number;
  label: string;
  /** Warns when it is nearly full. */
  isLimit?: boolean;
}) {
  const tone = !isLimit ? "" : percent >= 100 ? "bad" : percent >= 80 ? "warn" : "";
  return (
    <div
      class={`meter ${tone}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.min(100, Math.round(percent))}
    >
      <span style={{ inlineSize: `${Math.max(percent > 0 ? 1.5 : 0, Math.min(100, percent))}%` }} />
    </div>
  );
}

export function CopyButton({ text, label = "Copy", small = true }: { text: string; label?: string; small?: boolean }) {
  const [result, setResult] = useState<"" | "Copied" | "Not allowed">("");
  useEffect(() => {
    if (!result) return;
    const timer = setTimeout(() => setResult(""), 1500);
    return () => clearTimeout(timer);
  }, [result]);
  return (
    <button
      type="button"
      class={`button ${small ? "small" : ""}`}
      onClick={() =>
        void navigator.clipboard.writeText(text).then(
          () => setResult("Copied"),
          () => setResult("Not allowed"),
        )
      }
    >
      <Icon name={result === "Copied" ? "check" : "copy"} size={14} />
      <span aria-live="polite">{result || label}</span>
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} role="group" aria-label={label}>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} />
    </div>
  );
}

/** Offers a text as a file. */
export function saveAs(name: string, type: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
