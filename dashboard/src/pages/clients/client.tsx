import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Client, ClientReport } from "../../api/types.js";
import { Ago, PageHead, StatusBadge } from "../../ui/basics.js";
import { Icon } from "../../ui/icon.js";
import { Failed, Loading } from "../../ui/states.js";
import { actionsFor, ClientActionDialog, type ClientAction } from "./client-actions.js";
import { ClientActivity } from "./client-activity.js";
import { ClientUsage } from "./client-usage.js";
import { Connections } from "./connections.js";
import { Permissions } from "./permissions.js";

const TABS = [
  ["", "Connections"],
  ["permissions", "Permissions"],
  ["usage", "Usage"],
  ["activity", "Activity"],
] as const;

/** The inspector of one client. */
export function ClientPage({ id, tab = "" }: { id: string; tab?: string | undefined }) {
  const api = useApi();
  const [, navigate] = useLocation();
  const [action, setAction] = useState<ClientAction>();
  const client = useQuery({
    queryKey: ["client", id],
    queryFn: ({ signal }) => api.get<Client>(`/clients/${id}`, {}, signal),
  });
  const status = useQuery({
    queryKey: ["client-status", id],
    queryFn: ({ signal }) => api.get<ClientReport>(`/clients/${id}/status`, {}, signal),
    refetchInterval: 15_000,
  });
  if (!client.data) {
    return (
      <div class="page">
        <Back />
        {client.isPending ? <Loading rows={8} /> : <Failed error={client.error} retry={client.refetch} />}
      </div>
    );
  }
  const shown = client.data;
  return (
    <div class="page">
      <Back />
      <PageHead
        title={shown.name}
        text={
          <span class="row wrap">
            <StatusBadge status={status.data?.status ?? shown.status} />
            {status.data && <StatusBadge status={status.data.health} />}
            <span>
              last seen <Ago at={status.data?.last_seen ?? shown.last_seen} />
            </span>
          </span>
        }
      >
        {api.may("member") &&
          actionsFor(shown).map(({ kind, label, danger }) => (
            <button
              key={kind}
              type="button"
              class={`button ${danger ? "danger" : ""}`}
              onClick={() => setAction(kind)}
            >
              {label}
            </button>
          ))}
      </PageHead>
      <nav class="tabs" aria-label={shown.name}>
        {TABS.map(([path, label]) => (
          <Link
            key={path}
            href={`/clients/${id}${path && `/${path}`}`}
            aria-current={tab === path ? "page" : undefined}
          >
            {label}
          </Link>
        ))}
      </nav>
      {tab === "" && <Connections client={shown} status={status} />}
      {tab === "permissions" && <Permissions client={shown} />}
      {tab === "usage" && <ClientUsage clientId={id} />}
      {tab === "activity" && <ClientActivity clientId={id} />}
      {action && (
        <ClientActionDialog
          client={shown}
          action={action}
          onClose={() => setAction(undefined)}
          onDeleted={() => navigate("/clients")}
        />
      )}
    </div>
  );
}

function Back() {
  return (
    <Link href="/clients" class="row small muted">
      <Icon name="arrow-left" size={14} /> Clients
    </Link>
  );
}
