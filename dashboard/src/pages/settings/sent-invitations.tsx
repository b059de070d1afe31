import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Invitation, Role } from "../../api/types.js";
import { dateTime } from "../../app/format.js";
import { Card, CopyButton, Note } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { Select, TextField } from "../../ui/forms.js";
import { usePages } from "../../ui/pages.js";
import { Listed } from "../../ui/more.js";
import { Empty, messageOf } from "../../ui/states.js";
import { ROLES } from "./members.js";

/** Invites people by their e-mail address, and shows who has not accepted yet. */
export function SentInvitations() {
  const api = useApi();
  const queries = useQueryClient();
  const path = `/accounts/${api.tenantId}/invitations`;
  const list = usePages<Invitation>(["invitations"], path, "invitations", { limit: 100 });
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const [link, setLink] = useState("");
  const [error, setError] = useState<unknown>();
  const [revoked, setRevoked] = useState<Invitation>();
  const refresh = (): void => void queries.invalidateQueries({ queryKey: ["invitations"] });
  const invite = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    api
      .post<Invitation & { link: string }>(path, { email: email.trim(), role })
      .then((created) => {
        setLink(new URL(created.link, location.origin).href);
        setEmail("");
        refresh();
      })
      .catch(setError);
  };
  return (
    <Card title="Invitations" flush>
      <form class="card-body stack" onSubmit={invite}>
        <div class="row wrap" style={{ alignItems: "end" }}>
          <TextField label="E-mail address" type="email" required value={email} onChange={setEmail} />
          <Select
            label="Role"
            value={role}
            options={api.may("owner") ? ROLES : ROLES.filter((each) => each.value !== "owner")}
            onChange={(value) => setRole(value as Role)}
          />
          <button type="submit" class="button primary">
            Invite
          </button>
        </div>
        {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
        {link && (
          <Note tone="ok">
            <div class="stack tight">
              Nothing is sent by the service: give this link to the person, who signs in with this address and accepts.
              <div class="row wrap">
                <code>{link}</code>
                <CopyButton text={link} label="Copy the link" />
              </div>
            </div>
          </Note>
        )}
      </form>
      <Listed list={list} rows={2} empty={<Empty icon="users" title="No open invitations" />}>
        {(items) => (
          <ul class="list">
            {items.map((each) => (
              <li key={each.invitation_id} class="row between wrap">
                <span class="grow">
                  {each.email} <span class="muted">as {each.role}</span>
                  <br />
                  <span class="faint small">until {dateTime(each.expires_at)}</span>
                </span>
                <button type="button" class="button small danger" onClick={() => setRevoked(each)}>
                  Revoke
                </button>
              </li>
            ))}
          </ul>
        )}
      </Listed>
      {revoked && (
        <Confirm
          title="Revoke the invitation?"
          submit="Revoke"
          consequences={[`${revoked.email} can no longer accept it.`]}
          onClose={() => setRevoked(undefined)}
          onConfirm={async () => {
            await api.delete(`${path}/${revoked.invitation_id}`);
            refresh();
          }}
        />
      )}
    </Card>
  );
}
