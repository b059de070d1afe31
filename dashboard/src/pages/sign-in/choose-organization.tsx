import { useEffect, useState } from "preact/hooks";
import { Problem } from "../../api/rest.js";
import { end } from "../../api/session.js";
import type { Organization, Page, Profile, ReceivedInvitation } from "../../api/types.js";
import { Icon } from "../../ui/icon.js";
import { Failed, Loading } from "../../ui/states.js";
import { callAsPerson } from "./call-as-person.js";
import { CreateOrganization } from "./create-organization.js";
import { Gate } from "./gate.js";
import { Invitations } from "./invitations.js";
import { lastOrganization, rememberOrganization } from "./last-organization.js";

interface Found {
  organizations: Organization[];
  invitations: ReceivedInvitation[];
}

async function find(): Promise<Found> {
  const [profile, received] = await Promise.all([
    callAsPerson<Profile>("GET", "/profile/me"),
    callAsPerson<Page<"invitations", ReceivedInvitation>>("GET", "/invitations"),
  ]);
  return { organizations: profile.organizations, invitations: received.invitations };
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
        const only = result.organizations.length === 1 && result.invitations.length === 0;
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
  const { organizations, invitations } = found;
  if (isCreating || (organizations.length === 0 && invitations.length === 0)) {
    const isFirst = organizations.length === 0;
    return <CreateOrganization isFirst={isFirst} onCreated={choose} onCancel={() => setCreating(false)} />;
  }
  return (
    <Gate title={organizations.length > 0 ? "Choose an organization" : "You are invited"}>
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
