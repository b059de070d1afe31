import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Channel, Retention, SubjectRecord } from "../../api/types.js";
import { FormDialog } from "../../ui/dialog.js";
import { Select, TextField } from "../../ui/forms.js";

const AGES = [
  { value: "", label: "no limit" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
  { value: "604800", label: "7 days" },
  { value: "2592000", label: "30 days" },
];
const SIZES = [
  { value: "1048576", label: "1 MB" },
  { value: "16777216", label: "16 MB" },
  { value: "67108864", label: "64 MB" },
  { value: "268435456", label: "256 MB" },
  { value: "1073741824", label: "1 GB" },
];

export function CreateChannel({ onClose }: { onClose: () => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [key] = useState(() => crypto.randomUUID());
  return (
    <FormDialog
      title="New channel"
      submit="Create"
      canSubmit={name.trim() !== ""}
      onClose={onClose}
      onSubmit={async () => {
        const channel = await api.post<Channel>("/channels", { name: name.trim(), description }, key);
        void queries.invalidateQueries({ queryKey: ["channels"] });
        navigate(`/channels/${channel.channel_id}`);
      }}
    >
      <TextField label="Name" required autoFocus maxLength={100} value={name} onChange={setName} />
      <TextField label="Description" maxLength={1000} value={description} onChange={setDescription} />
    </FormDialog>
  );
}

export function CreateSubject({ onClose }: { onClose: () => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [pattern, setPattern] = useState("");
  const [retention, setRetention] = useState<Retention>({
    max_age_s: 604_800,
    max_messages: null,
    max_bytes: 67_108_864,
  });
  return (
    <FormDialog
      title="Store a subject"
      submit="Store"
      canSubmit={name.trim() !== "" && pattern.trim() !== ""}
      onClose={onClose}
      onSubmit={async () => {
        const body = { name: name.trim(), pattern: pattern.trim(), retention };
        const subject = await api.post<SubjectRecord>("/subjects", body);
        void queries.invalidateQueries({ queryKey: ["subjects"] });
        navigate(`/channels/subjects/${subject.subject_id}`);
      }}
    >
      <TextField label="Name" required autoFocus maxLength={100} value={name} onChange={setName} />
      <TextField
        label="Pattern"
        required
        maxLength={255}
        placeholder="orders.>"
        value={pattern}
        onChange={setPattern}
        hint="* stands for one part, > for all that follow."
      />
      <RetentionFields value={retention} onChange={setRetention} />
    </FormDialog>
  );
}

export function RetentionFields({
  value,
  onChange,
}: {
  value: Retention;
  onChange: (value: Retention) => void;
}) {
  return (
    <div class="row wrap">
      <Select
        label="Kept for"
        value={String(value.max_age_s ?? "")}
        options={withOwn(AGES, String(value.max_age_s ?? ""), "s")}
        onChange={(text) => onChange({ ...value, max_age_s: text ? Number(text) : null })}
      />
      <Select
        label="At most"
        value={String(value.max_bytes)}
        options={withOwn(SIZES, String(value.max_bytes), "bytes")}
        onChange={(text) => onChange({ ...value, max_bytes: Number(text) })}
      />
      <TextField
        label="Messages"
        type="number"
        min={1}
        placeholder="no limit"
        value={value.max_messages === null ? "" : String(value.max_messages)}
        onChange={(text) => onChange({ ...value, max_messages: text ? Number(text) : null })}
      />
    </div>
  );
}

// A value that was set by other means is among the choices too.
function withOwn(options: { value: string; label: string }[], value: string, unit: string) {
  return options.some((each) => each.value === value) ? options : [{ value, label: `${value} ${unit}` }, ...options];
}
