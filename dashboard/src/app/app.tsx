import { useEffect, useState } from "preact/hooks";
import { Router } from "wouter-preact";
import { OrganizationProvider } from "../api/organization.js";
import { isSignedIn, resume, session } from "../api/session.js";
import { useStore } from "../api/store.js";
import type { Organization } from "../api/types.js";
import { ChooseOrganization } from "../pages/sign-in/choose-organization.js";
import { SignIn } from "../pages/sign-in/sign-in.js";
import { forgetOrganization } from "../pages/sign-in/last-organization.js";
import { Toasts, clearToasts } from "../ui/toasts.js";
import { Shell } from "./shell.js";

/** The page: the sign-in, or the console of the person who is signed in. */
export function App() {
  const current = useStore(session);
  const isResuming = !isSignedIn(current) && current.reason === "resuming";
  useEffect(() => {
    if (isResuming) void resume();
  }, []);
  if (isResuming) return null;
  return (
    <Router base="/console">
      {isSignedIn(current) ? <SignedIn key={current.userId} /> : <SignIn reason={current.reason} />}
      <Toasts />
    </Router>
  );
}

function SignedIn() {
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
    <OrganizationProvider
      key={organization.account_id}
      organization={organization}
      onLeave={() => leave(undefined, false)}
    >
      <Shell onSwitch={(next) => leave(next, !next)} />
    </OrganizationProvider>
  );
}
