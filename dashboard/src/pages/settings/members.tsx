import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Member, Role } from "../../api/types.js";
import { Ago, Badge, Card } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { Select } from "../../ui/forms.js";
import { Listed } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { toast, toastError } from "../../ui/toasts.js";
import { SentInvitations } from "./sent-invitations.js";

export const ROLES: { value: Role; label: string }[] = [
  { value: "viewer", label: "viewer" },
  { value: "member", label: "member" },
  { value: "admin", label: "admin" },
  { value: "owner", label: "owner" },
];
const MEANINGS: [Role, string][] = [
  ["viewer", "sees everything and changes nothing"],
  ["member", "also manages clients and channels, and publishes"],
  ["admin", "also manages the organization, its members and its keys"],
  ["owner", "also manages owners, and may delete the organization"],
];

export function Members() {
  const api = useApi();
  const list = usePages<Member>(["members"], `/accounts/${api.tenantId}/members`, "members", { limit: 100 });
  return (
    <>
      <Card title="Members" flush>
        <Listed list={list}>{(members) => <MemberTable members={members} />}</Listed>
      </Card>
      {api.may("admin") && <SentInvitations />}
      <Card title="What the roles may do">
        <dl class="facts">
          {MEANINGS.map(([role, words]) => (
            <Meaning key={role} role={role} words={words} />
          ))}
        </dl>
      </Card>
    </>
  );
}

function Meaning({ role, words }: { role: Role; words: string }) {
  return (
    <>
      <dt>{role}</dt>
      <dd>{words}</dd>
    </>
  );
}

function MemberTable({ members }: { members: Member[] }) {
  const api = useApi();
  const queries = useQueryClient();
  const [leaving, setLeaving] = useState<Member>();
  const path = (member: Member): string => `/accounts/${api.tenantId}/members/${encodeURIComponent(member.user_id)}`;
  const refresh = (): void => void queries.invalidateQueries({ queryKey: ["members"] });
  const mayChange = (member: Member): boolean => api.may(member.role === "owner" ? "owner" : "admin");
  const roles = api.may("owner") ? ROLES : ROLES.filter((each) => each.value !== "owner");
  const setRole = (member: Member, role: string): void => {
    api
      .put(path(member), { role })
      .then(() => toast(`${nameOf(member)} is ${role} now.`))
      .catch(toastError)
      .finally(refresh);
  };
  return (
    <>
      <table class="table cards">
        <thead>
          <tr>
            <th>Person</th>
            <th>Role</th>
            <th>Since</th>
            <th>
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {members.map((member) => {
            const isSelf = member.user_id === api.userId;
            return (
              <tr key={member.user_id}>
                <td>
                  <strong>{nameOf(member)}</strong> {isSelf && <Badge>you</Badge>}
                  {member.name && <div class="faint small truncate">{member.email}</div>}
                </td>
                <td>
                  {mayChange(member) && !isSelf ? (
                    <Select
                      label={`Role of ${nameOf(member)}`}
                      hideLabel
                      value={member.role}
                      options={roles}
                      onChange={(role) => setRole(member, role)}
                    />
                  ) : (
                    member.role
                  )}
                </td>
                <td class="muted optional">
                  <Ago at={member.created_at} />
                </td>
                <td class="end">
                  {(mayChange(member) || isSelf) && (
                    <button type="button" class="button small danger" onClick={() => setLeaving(member)}>
                      {isSelf ? "Leave" : "Remove"}
                    </button>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {leaving && (
        <Confirm
          title={leaving.user_id === api.userId ? "Leave the organization?" : `Remove ${nameOf(leaving)}?`}
          submit={leaving.user_id === api.userId ? "Leave" : "Remove"}
          consequences={[
            "Open pages of this person end within a second, and the API refuses further calls.",
            "Signing keys that this person issued are revoked, and the connections of their users end.",
          ]}
          onClose={() => setLeaving(undefined)}
          onConfirm={async () => {
            await api.delete(path(leaving));
            refresh();
          }}
        />
      )}
    </>
  );
}

function nameOf(member: Member): string {
  return member.name || member.email || member.user_id;
}
