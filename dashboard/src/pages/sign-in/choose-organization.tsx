import { useEffect, useState } from "preact/hooks";
import { Problem } from "../../api/rest.js";
import { end } from "../../api/session.js";
import type { Account, Organization, Page, ReceivedInvitation } from "../../api/types.js";
import { Icon } from "../../ui/icon.js";
import { Failed, Loading } from "../../ui/states.js";
import { callAsPerson } from "./call-as-person.js";
import { CreateOrganization } from "./create-organization.js";
import { DeletedOrganization } from "./deleted-organization.js";
import { Gate } from "./gate.js";
import { Invitations } from "./invitations.js";
import { lastOrganization, rememberOrganization } from "./last-organization.js";

const MAX_ORGANIZATIONS = 200;

interface Found {
  organizations: Account[];
  deleted: Account[];
  invitations: ReceivedInvitation[];
}

async function find(): Promise<Found> {
  const [mine, received] = await Promise.all([
    callAsPerson<Page<"accounts", Account>>("GET", `/accounts?limit=${MAX_ORGANIZATIONS}`),
    callAsPerson<Page<"invitations", ReceivedInvitation>>("GET", "/invitations"),
  ]);
  const isDeleted = ({ status }: Account): boolean => status === "deleted";
  return {
    organizations: mine.accounts.filter((each) => !isDeleted(each)),
    deleted: mine.accounts.filter(isDeleted),
    invitations: received.invitations,
  };
}

/** Which organization to show: the only one at once, a choice of several, or the first one created here. */
export function ChooseOrganization({
  isNew,
  onChoose,
}: {
  /** Begins with the form for another organization. */
  isNew: boolean;
  onChoose: (organization: Organization) => void;
}) {
  const [found, setFound] = useState<Found>();
  const [error, setError] = useState<unknown>();
  const [isCreating, setCreating] = useState(isNew);
  const choose = (organization: Organization): void => {
    rememberOrganization(organization.account_id);
    onChoose(organization);
  };
  const load = (): void => {
    setError(undefined);
    find()
      .then((result) => {
        const last = result.organizations.find((each) => each.account_id === lastOrganization());
        const only = result.organizations.length === 1 && result.invitations.length + result.deleted.length === 0;
        const chosen = last ?? (only ? result.organizations[0] : undefined);
        if (chosen && !isNew) choose(chosen);
        else setFound(result);
      })
      .catch((reason: unknown) => {
        if (reason instanceof Problem && reason.status === 401) end("expired");
        setError(reason);
      });
  };
  useEffect(load, []);

  if (!found) {
    return (
      <Gate title="Your organizations">
        {error === undefined ? <Loading rows={2} /> : <Failed error={error} retry={load} />}
      </Gate>
    );
  }
  const { organizations, deleted, invitations } = found;
  if (isCreating || organizations.length + deleted.length + invitations.length === 0) {
    const isFirst = organizations.length === 0;
    return <CreateOrganization isFirst={isFirst} onCreated={choose} onCancel={() => setCreating(false)} />;
  }
  return (
    <Gate title={organizations.length + deleted.length > 0 ? "Choose an organization" : "You are invited"}>
      <Invitations invitations={invitations} onAccepted={choose} onDeclined={load} />
      <ul class="stack tight">
        {organizations.map((each) => (
          <li key={each.account_id}>
            <button type="button" class="organization" onClick={() => choose(each)}>
              <span class="avatar square" aria-hidden="true">
                {each.name.slice(0, 1).toUpperCase()}
              </span>
              <span class="grow truncate">
                <strong>{each.name}</strong>
                <br />
                <span class="faint small">
                  {each.role} · {each.plan} plan
                </span>
              </span>
              <Icon name="chevron-right" />
            </button>
          </li>
        ))}
      </ul>
      {deleted.map((each) => (
        <DeletedOrganization key={each.account_id} account={each} onRestored={choose} />
      ))}
      <div class="row between wrap">
        <button type="button" class="button" onClick={() => setCreating(true)}>
          <Icon name="plus" /> New organization
        </button>
        <button type="button" class="button quiet" onClick={() => end("signed_out")}>
          Sign out
        </button>
      </div>
    </Gate>
  );
}
