import type { Json } from "../api/types.js";

const OPEN_LEVELS = 2;
const MAX_ITEMS = 200;

/** A JSON value; its objects and arrays can be folded. */
export function JsonView({ value }: { value: Json }) {
  return (
    <div class="json" tabIndex={0} role="group" aria-label="JSON">
      <Value value={value} level={0} />
    </div>
  );
}

function Value({ value, level }: { value: Json; level: number }) {
  if (typeof value === "string") return <span class="text">{JSON.stringify(value)}</span>;
  if (typeof value !== "object" || value === null) return <span class="plain">{String(value)}</span>;
  const isArray = Array.isArray(value);
  const entries = Object.entries(value as Record<string, Json>);
  const [open, close] = isArray ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) return <span>{open + close}</span>;
  return (
    <details open={level < OPEN_LEVELS}>
      <summary>
        {open} <span class="faint">{entries.length === 1 ? "1 item" : `${entries.length} items`}</span>
      </summary>
      {entries.slice(0, MAX_ITEMS).map(([key, each]) => (
        <div key={key} class="nested">
          {!isArray && <span class="key">{JSON.stringify(key)}: </span>}
          <Value value={each} level={level + 1} />
        </div>
      ))}
      {entries.length > MAX_ITEMS && <div class="nested faint">{entries.length - MAX_ITEMS} more</div>}
      <div>{close}</div>
    </details>
  );
}
