import { useQuery } from "@tanstack/preact-query";
import { useEffect, useRef, useState } from "preact/hooks";
import { Link, Route, Switch, useLocation } from "wouter-preact";
import iconUrl from "../icon.svg";
import { useApi } from "../api/organization.js";
import { end } from "../api/session.js";
import { useStore } from "../api/store.js";
import type { Organization, Preferences, Profile } from "../api/types.js";
import { ActivityPage } from "../pages/activity/activity.js";
import { ChannelPage } from "../pages/channels/channel.js";
import { ChannelsPage } from "../pages/channels/channels.js";
import { SubjectPage } from "../pages/channels/subject.js";
import { ClientPage } from "../pages/clients/client.js";
import { ClientsPage } from "../pages/clients/clients.js";
import { HealthPage } from "../pages/health/health.js";
import { LivePage } from "../pages/live/live.js";
import { OverviewPage } from "../pages/overview/overview.js";
import { SettingsPage } from "../pages/settings/settings.js";
import { UsagePage } from "../pages/usage/usage.js";
import { Icon, type IconName } from "../ui/icon.js";
import { Empty } from "../ui/states.js";
import { forgetOrganization } from "../pages/sign-in/last-organization.js";
import { OrganizationMenu } from "./organization-menu.js";
import { appearance, setAppearance } from "./preferences.js";
import { useLiveCache } from "./use-live-cache.js";

const PAGES: [path: string, icon: IconName, label: string][] = [
  ["/", "layout-dashboard", "Overview"],
  ["/clients", "bot", "Clients"],
  ["/live", "radio", "Live tail"],
  ["/channels", "hash", "Channels"],
  ["/usage", "chart-column", "Usage"],
  ["/activity", "scroll-text", "Activity"],
  ["/health", "heart-pulse", "Health"],
  ["/settings", "settings", "Settings"],
];

export function Shell({ onSwitch }: { onSwitch: (organization: Organization | undefined) => void }) {
  const api = useApi();
  const [path] = useLocation();
  const [isOpen, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const profile = useQuery({ queryKey: ["profile"], queryFn: () => api.get<Profile>("/profile/me") });
  const preferences = useQuery({
    queryKey: ["preferences"],
    queryFn: () => api.get<Preferences>("/profile/preferences"),
  });
  useLiveCache();
  // Every time and number below is written anew when the person prefers another form.
  useStore(appearance);

  useEffect(() => {
    const chosen = preferences.data;
    // Preferences that were never set are the API's defaults; the browser knows better.
    if (chosen?.updated_at) {
      setAppearance({ theme: chosen.theme, language: chosen.language, timezone: chosen.timezone });
    }
  }, [preferences.data]);

  useEffect(() => {
    setOpen(false);
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [path]);

  return (
    <div class="shell" onKeyDown={(event) => event.key === "Escape" && setOpen(false)}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="topbar">
        <button
          type="button"
          class="button quiet square"
          aria-label="Menu"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          <Icon name="menu" size={20} />
        </button>
        <span class="truncate grow">
          <strong>{api.organization.name}</strong>
        </span>
        <SocketState />
      </header>
      {isOpen && <button type="button" class="scrim" aria-label="Close the menu" onClick={() => setOpen(false)} />}
      <aside class={`sidebar ${isOpen ? "open" : ""}`}>
        <div class="brand">
          <img src={iconUrl} alt="" />
          ArtCafe
        </div>
        <OrganizationMenu organizations={profile.data?.organizations ?? []} onSwitch={onSwitch} />
        <nav class="nav" aria-label="Pages">
          {PAGES.map(([to, icon, label]) => {
            const isCurrent = to === "/" ? path === "/" : path.startsWith(to);
            return (
              <Link key={to} href={to} aria-current={isCurrent ? "page" : undefined}>
                <Icon name={icon} />
                {label}
              </Link>
            );
          })}
        </nav>
        <div class="sidebar-foot">
          <SocketState />
          <div class="person">
            <span class="avatar" aria-hidden="true">
              {initial(profile.data?.name || profile.data?.email)}
            </span>
            <span class="grow truncate small" title={profile.data?.email}>
              {profile.data?.name || profile.data?.email || "…"}
              <br />
              <span class="faint">{api.organization.role}</span>
            </span>
            <button
              type="button"
              class="button quiet square small"
              aria-label="Sign out"
              title="Sign out"
              onClick={() => {
                forgetOrganization();
                end("signed_out");
              }}
            >
              <Icon name="log-out" />
            </button>
          </div>
        </div>
      </aside>
      <main id="main" class="main" ref={main} tabIndex={-1}>
        <Switch>
          <Route path="/" component={OverviewPage} />
          <Route path="/clients" component={ClientsPage} />
          <Route path="/clients/:id/:tab?">{({ id, tab }) => <ClientPage key={id} id={id} tab={tab} />}</Route>
          <Route path="/live" component={LivePage} />
          <Route path="/channels" component={ChannelsPage} />
          <Route path="/channels/subjects/:id">{({ id }) => <SubjectPage key={id} id={id} />}</Route>
          <Route path="/channels/:id">{({ id }) => <ChannelPage key={id} id={id} />}</Route>
          <Route path="/usage" component={UsagePage} />
          <Route path="/activity" component={ActivityPage} />
          <Route path="/health" component={HealthPage} />
          <Route path="/settings/:tab?">{({ tab }) => <SettingsPage tab={tab} />}</Route>
          <Route>
            <div class="page">
              <Empty icon="search" title="There is no such page" action={<Link href="/">Overview</Link>} />
            </div>
          </Route>
        </Switch>
      </main>
    </div>
  );
}

function SocketState() {
  const state = useStore(useApi().socket.state);
  const words = { connected: "Live", connecting: "Connecting…", disconnected: "Not connected" }[state];
  const tone = { connected: "ok", connecting: "warn", disconnected: "" }[state];
  return (
    <span class="badge" title="Whether changes are shown as they happen">
      <span class={`dot ${tone}`} />
      {words}
    </span>
  );
}

function initial(name: string | undefined): string {
  return (name ?? "?").slice(0, 1).toUpperCase();
}
