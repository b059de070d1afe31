import { Link } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Role } from "../../api/types.js";
import { PageHead } from "../../ui/basics.js";
import { Members } from "./members.js";
import { OrganizationSettings } from "./organization.js";
import { PersonSettings } from "./person.js";
import { SigningKeys } from "./signing-keys.js";

const TABS: [path: string, label: string, least: Role][] = [
  ["", "Organization", "viewer"],
  ["members", "Members", "viewer"],
  ["keys", "Signing keys", "admin"],
  ["you", "You", "viewer"],
];

export function SettingsPage({ tab = "" }: { tab?: string | undefined }) {
  const api = useApi();
  return (
    <div class="page">
      <PageHead title="Settings" />
      <nav class="tabs" aria-label="Settings">
        {TABS.filter(([, , least]) => api.may(least)).map(([path, label]) => (
          <Link key={path} href={`/settings${path && `/${path}`}`} aria-current={tab === path ? "page" : undefined}>
            {label}
          </Link>
        ))}
      </nav>
      {tab === "" && <OrganizationSettings />}
      {tab === "members" && <Members />}
      {tab === "keys" && api.may("admin") && <SigningKeys />}
      {tab === "you" && <PersonSettings />}
    </div>
  );
}
