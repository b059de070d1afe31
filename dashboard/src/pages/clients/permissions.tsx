import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Client, PermissionExplanation } from "../../api/types.js";
import { Card, Note } from "../../ui/basics.js";
import { Segments, TextField } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { messageOf } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";
import { PermissionFields, cleaned } from "./permission-fields.js";

export function Permissions({ client }: { client: Client }) {
  const api = useApi();
  const mayChange = api.may("member");
  return (
    <div class="grid-2">
      {mayChange ? <Editor client={client} /> : <Patterns client={client} />}
      <Explainer client={client} />
    </div>
  );
}

function Editor({ client }: { client: Client }) {
  const api = useApi();
  const queries = useQueryClient();
  const [value, setValue] = useState(client.permissions);
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const isChanged = JSON.stringify(cleaned(value)) !== JSON.stringify(client.permissions);
  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    api
      .put<Client>(`/clients/${client.client_id}`, { permissions: cleaned(value) })
      .then((saved) => {
        queries.setQueryData(["client", client.client_id], saved);
        setValue(saved.permissions);
        toast("The permissions are saved.");
      })
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return (
    <Card title="Permissions">
      <form class="stack" onSubmit={save}>
        <PermissionFields value={value} onChange={setValue} />
        {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
        {isChanged && <Note tone="warn">Saving ends the client's connections; it connects again with the new permissions.</Note>}
        <div class="row">
          <button type="submit" class="button primary" disabled={!isChanged || isBusy}>
            Save
          </button>
          <button type="button" class="button" disabled={!isChanged} onClick={() => setValue(client.permissions)}>
            Undo
          </button>
        </div>
      </form>
    </Card>
  );
}

function Patterns({ client: { permissions } }: { client: Client }) {
  return (
    <Card title="Permissions">
      <dl class="facts">
        <dt>Publish</dt>
        <dd class="mono">{permissions.publish.join(", ") || "nothing"}</dd>
        <dt>Subscribe</dt>
        <dd class="mono">{permissions.subscribe.join(", ") || "nothing"}</dd>
        <dt>Streams</dt>
        <dd>{permissions.streams}</dd>
      </dl>
    </Card>
  );
}

/** "May it publish there?" */
function Explainer({ client }: { client: Client }) {
  const api = useApi();
  const [action, setAction] = useState("publish");
  const [subject, setSubject] = useState("");
  const [answer, setAnswer] = useState<PermissionExplanation & { question: string }>();
  const [error, setError] = useState<unknown>();
  const ask = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    const question = `${action} ${subject.trim()}`;
    api
      .post<PermissionExplanation>(`/clients/${client.client_id}/permissions/test`, { action, subject: subject.trim() })
      .then((explanation) => setAnswer({ ...explanation, question }))
      .catch(setError);
  };
  return (
    <Card title="May it …?">
      <form class="stack" onSubmit={ask}>
        <Segments
          label="Action"
          value={action}
          options={[
            { value: "publish", label: "Publish" },
            { value: "subscribe", label: "Subscribe" },
          ]}
          onChange={setAction}
        />
        <TextField
          label="Subject"
          placeholder="orders.new"
          required
          value={subject}
          onChange={setSubject}
          hint="As the saved permissions are. Nothing is published."
        />
        <button type="submit" class="button" disabled={!subject.trim()}>
          <Icon name="shield-check" size={14} /> Check
        </button>
        <div aria-live="polite">
          {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
          {answer && error === undefined && (
            <Note tone={answer.allowed ? "ok" : "bad"} icon={answer.allowed ? "circle-check" : "circle-x"}>
              <strong>{answer.allowed ? "Yes" : "No"}</strong>: <code>{answer.question}</code>
              <br />
              {answer.why}
            </Note>
          )}
        </div>
      </form>
    </Card>
  );
}
