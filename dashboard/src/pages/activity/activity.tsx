import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Activity } from "../../api/types.js";
import { useFilter } from "../../app/search-params.js";
import { Card, PageHead, saveAs } from "../../ui/basics.js";
import { Select } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Menu } from "../../ui/menu.js";
import { Listed } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { toastError } from "../../ui/toasts.js";
import { ActivityTable } from "./activity-table.js";

const TYPES = ["account", "member", "client", "agent", "channel", "subject", "connection", "auth", "access", "quota"];
const STATUSES = ["success", "denied", "warning"];
const HOURS = [
  { value: "1", label: "Last hour" },
  { value: "24", label: "24 hours" },
  { value: "168", label: "7 days" },
  { value: "720", label: "30 days" },
];
const FORMATS = { csv: "text/csv", jsonl: "application/x-ndjson" };

export function ActivityPage() {
  const api = useApi();
  const [type, setType] = useFilter("type");
  const [status, setStatus] = useFilter("status");
  const [hours, setHours] = useFilter("hours", "168");
  const [actor, setActor] = useFilter("actor");
  const [resource, setResource] = useFilter("resource");
  const [entry, setEntry] = useFilter("entry");
  const [isExporting, setExporting] = useState(false);
  const query = { hours, type, status, actor, resource };
  const list = usePages<Activity>(["activity", "list"], "/activity/logs", "logs", { ...query, limit: 100 });
  const save = (format: keyof typeof FORMATS): void => {
    setExporting(true);
    api
      .download("/activity/export", query, FORMATS[format])
      .then(async (answer) => saveAs(`activity.${format}`, FORMATS[format], await answer.blob()))
      .catch(toastError)
      .finally(() => setExporting(false));
  };
  return (
    <div class="page">
      <PageHead title="Activity" text="Every change, login, connection and refusal of the last 30 days.">
        <Menu
          buttonClass="button"
          button={
            <>
              <Icon name="download" size={14} /> {isExporting ? "Exporting…" : "Export"}
            </>
          }
          items={[
            { label: "CSV", onSelect: () => save("csv") },
            { label: "JSON Lines", onSelect: () => save("jsonl") },
          ]}
        />
      </PageHead>
      <div class="toolbar">
        <Select label="Type" hideLabel value={type} options={choices("Every type", TYPES)} onChange={setType} />
        <Select label="Outcome" hideLabel value={status} options={choices("Every outcome", STATUSES)} onChange={setStatus} />
        <Select label="Time" hideLabel value={hours} options={HOURS} onChange={setHours} />
        {actor && <Filter label="by" value={actor} onRemove={() => setActor("")} />}
        {resource && <Filter label="about" value={resource} onRemove={() => setResource("")} />}
      </div>
      <Card flush>
        <Listed list={list} rows={8}>
          {(entries) => (
            <ActivityTable
              entries={entries}
              opened={entry}
              onOpen={setEntry}
              onActor={setActor}
              onResource={setResource}
            />
          )}
        </Listed>
      </Card>
    </div>
  );
}

function Filter({ label, value, onRemove }: { label: string; value: string; onRemove: () => void }) {
  return (
    <button type="button" class="button small" onClick={onRemove} aria-label={`Remove the filter ${label} ${value}`}>
      <span class="faint">{label}</span> <span class="mono truncate">{value}</span> <Icon name="x" size={12} />
    </button>
  );
}

function choices(all: string, values: string[]) {
  return [{ value: "", label: all }, ...values.map((value) => ({ value, label: value }))];
}
