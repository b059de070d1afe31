import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useEffect, useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Account, Limits } from "../../api/types.js";
import { bytes, dateTime, number } from "../../app/format.js";
import { Badge, Card, CopyButton, Note, saveAs } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { TextField } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Loaded, messageOf } from "../../ui/states.js";
import { toast, toastError } from "../../ui/toasts.js";

const EXPORT_TYPE = "application/x-ndjson";
const LIMITS: [key: keyof Limits, label: string, format: (value: number) => string][] = [
  ["clients", "Clients and agents", number],
  ["channels", "Channels", number],
  ["messages_per_month", "Messages a month", number],
  ["connections", "Connections at once", number],
  ["api_calls_per_minute", "API calls a minute", number],
  ["storage_bytes", "Storage", bytes],
];

export function OrganizationSettings() {
  const api = useApi();
  const account = useQuery({
    queryKey: ["account"],
    queryFn: ({ signal }) => api.get<Account>(`/accounts/${api.tenantId}`, {}, signal),
  });
  return (
    <Loaded query={account}>
      {(data) => (
        <div class="grid-2">
          <div class="stack">
            <Details account={data} />
            {api.may("admin") && <Export />}
            {api.may("owner") && <Danger account={data} />}
          </div>
          <Card title="Plan" actions={<Badge tone="info">{data.plan}</Badge>}>
            <dl class="facts">
              {LIMITS.map(([key, label, format]) => (
                <Limit key={key} label={label} value={data.limits[key]} format={format} />
              ))}
            </dl>
          </Card>
        </div>
      )}
    </Loaded>
  );
}

function Limit({
  label,
  value,
  format,
}: {
  label: string;
  value: number | null;
  format: (value: number) => string;
}) {
  return (
    <>
      <dt>{label}</dt>
      <dd class="number">{value === null ? "no limit" : format(value)}</dd>
    </>
  );
}

function Details({ account }: { account: Account }) {
  const api = useApi();
  const queries = useQueryClient();
  const [name, setName] = useState(account.name);
  const [description, setDescription] = useState(account.description);
  const [error, setError] = useState<unknown>();
  const mayChange = api.may("admin");
  useEffect(() => {
    setName(account.name);
    setDescription(account.description);
  }, [account]);
  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    api
      .put<Account>(`/accounts/${api.tenantId}`, { name: name.trim(), description })
      .then((saved) => {
        queries.setQueryData(["account"], saved);
        void queries.invalidateQueries({ queryKey: ["profile"] });
        toast("The organization is saved.");
      })
      .catch(setError);
  };
  return (
    <Card title="Organization">
      <form class="stack" onSubmit={save}>
        <TextField label="Name" required maxLength={100} disabled={!mayChange} value={name} onChange={setName} />
        <TextField
          label="Description"
          maxLength={1000}
          disabled={!mayChange}
          value={description}
          onChange={setDescription}
        />
        <dl class="facts">
          <dt>Id</dt>
          <dd class="mono">{account.account_id}</dd>
          <dt>Created</dt>
          <dd>{dateTime(account.created_at)}</dd>
          <dt>Your role</dt>
          <dd>{account.role}</dd>
        </dl>
        {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
        <div class="row">
          {mayChange && (
            <button
              type="submit"
              class="button primary"
              disabled={!name.trim() || (name === account.name && description === account.description)}
            >
              Save
            </button>
          )}
          <CopyButton text={account.account_id} label="Copy the id" small={false} />
        </div>
      </form>
    </Card>
  );
}

function Export() {
  const api = useApi();
  const [isBusy, setBusy] = useState(false);
  const save = (): void => {
    setBusy(true);
    api
      .download(`/accounts/${api.tenantId}/export`, {}, EXPORT_TYPE)
      .then(async (answer) => saveAs(`${api.tenantId}.jsonl`, EXPORT_TYPE, await answer.blob()))
      .catch(toastError)
      .finally(() => setBusy(false));
  };
  return (
    <Card title="Export">
      <div class="stack">
        <p class="muted">Everything that the organization owns, as JSON Lines. Keys and messages are not included.</p>
        <div>
          <button type="button" class="button" disabled={isBusy} onClick={save}>
            <Icon name="download" size={14} /> {isBusy ? "Exporting…" : "Export everything"}
          </button>
        </div>
      </div>
    </Card>
  );
}

function Danger({ account }: { account: Account }) {
  const api = useApi();
  const [isAsked, setAsked] = useState(false);
  return (
    <Card title="Delete the organization">
      <div class="stack">
        <p class="muted">Its clients are cut off at once. For 7 days an owner can restore it where organizations are chosen; then everything is gone.</p>
        <div>
          <button type="button" class="button danger" onClick={() => setAsked(true)}>
            <Icon name="trash" size={14} /> Delete
          </button>
        </div>
      </div>
      {isAsked && (
        <Confirm
          title={`Delete ${account.name}?`}
          submit="Delete the organization"
          typed={account.name}
          consequences={[
            "All connections end at once, and no client can connect.",
            "After 7 days its clients, channels, messages, usage and activity are deleted for good.",
          ]}
          onClose={() => setAsked(false)}
          onConfirm={async () => {
            await api.delete(`/accounts/${api.tenantId}`);
            api.leave();
          }}
        />
      )}
    </Card>
  );
}
