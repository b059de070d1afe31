import { useState } from "preact/hooks";
import { end } from "../../api/session.js";
import type { Account, Organization } from "../../api/types.js";
import { Note } from "../../ui/basics.js";
import { TextField } from "../../ui/forms.js";
import { messageOf } from "../../ui/states.js";
import { callAsPerson } from "./call-as-person.js";
import { Gate } from "./gate.js";

export function CreateOrganization({
  isFirst,
  onCreated,
  onCancel,
}: {
  isFirst: boolean;
  onCreated: (organization: Organization) => void;
  onCancel: () => void;
}) {
  const [name, setName] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const [key] = useState(() => crypto.randomUUID());
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    callAsPerson<Account>("POST", "/accounts", { name: name.trim() }, key)
      .then(({ account_id, name: given, role, plan }) => onCreated({ account_id, name: given, role, plan }))
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return (
    <Gate title={isFirst ? "Create your organization" : "New organization"}>
      <p class="muted">
        An organization owns clients, channels and their messages. Only its members and clients see them.
      </p>
      {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
      <form class="stack" onSubmit={submit}>
        <TextField label="Name" required maxLength={100} autoFocus value={name} onChange={setName} />
        <div class="row between">
          <button type="submit" class="button primary" disabled={isBusy || !name.trim()}>
            Create
          </button>
          <button type="button" class="button quiet" onClick={isFirst ? () => end("signed_out") : onCancel}>
            {isFirst ? "Sign out" : "Back"}
          </button>
        </div>
      </form>
    </Gate>
  );
}
