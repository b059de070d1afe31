import { useEffect, useState } from "preact/hooks";
import { Router } from "wouter-preact";
import { OrganizationProvider } from "../api/organization.js";
import type { Organization } from "../api/types.js";
import { ChooseOrganization } from "../pages/sign-in/choose-organization.js";
import { forgetOrganization } from "../pages/sign-in/last-organization.js";
import { clearToasts } from "../ui/toasts.js";
import { Shell } from "./shell.js";

/** What a person sees who is signed in: the choice of an organization, then its pages. */
export function SignedIn() {
  const [organization, setOrganization] = useState<Organization>();
  const [isNew, setNew] = useState(false);
  useEffect(() => clearToasts, [organization]);
  if (!organization) return <ChooseOrganization isNew={isNew} onChoose={setOrganization} />;
  const leave = (next: Organization | undefined, toNew: boolean): void => {
    // The address may name something of this organization.
    history.replaceState(null, "", "/console/");
    forgetOrganization();
    setNew(toNew);
    setOrganization(next);
  };
  return (
    // With another key everything below is made anew: nothing of the organization before stays.
    <Router key={organization.account_id} base="/console">
      <OrganizationProvider organization={organization} onLeave={() => leave(undefined, false)}>
        <Shell onSwitch={(next) => leave(next, !next)} />
      </OrganizationProvider>
    </Router>
  );
}
