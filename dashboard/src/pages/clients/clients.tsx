import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Client } from "../../api/types.js";
import { useFilter } from "../../app/search-params.js";
import { useDebounced } from "../../app/use-debounced.js";
import { Ago, Card, PageHead, StatusBadge } from "../../ui/basics.js";
import { Search, Segments } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Menu } from "../../ui/menu.js";
import { Listed } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { Empty } from "../../ui/states.js";
import { actionsFor, ClientActionDialog, type ClientAction } from "./client-actions.js";
import { CreateClient } from "./create-client.js";

const STATUSES = [
  { value: "", label: "All" },
  { value: "online", label: "Online" },
  { value: "offline", label: "Offline" },
  { value: "suspended", label: "Suspended" },
];

export function ClientsPage() {
  const api = useApi();
  const [status, setStatus] = useFilter("status");
  const [name, setName] = useFilter("name");
  const [isNew, setNew] = useFilter("new");
  const [action, setAction] = useState<{ client: Client; kind: ClientAction }>();
  const list = usePages<Client>(["clients"], "/clients", "clients", {
    status,
    name: useDebounced(name),
    limit: 100,
  });
  const mayChange = api.may("member");
  return (
    <div class="page">
      <PageHead title="Clients" text="The programs of this organization, each with a key of its own.">
        {mayChange && (
          <button type="button" class="button primary" onClick={() => setNew("1")}>
            <Icon name="plus" /> New client
          </button>
        )}
      </PageHead>
      <div class="toolbar">
        <Search label="Search by name" value={name} onChange={setName} />
        <Segments label="Status" value={status} options={STATUSES} onChange={setStatus} />
      </div>
      <Card flush>
        <Listed list={list}>
          {(clients) => (
            <ClientTable
              clients={clients}
              isFiltered={Boolean(status || name)}
              onAction={mayChange ? (client, kind) => setAction({ client, kind }) : undefined}
            />
          )}
        </Listed>
      </Card>
      {isNew && mayChange && <CreateClient onClose={() => setNew("")} />}
      {action && (
        <ClientActionDialog client={action.client} action={action.kind} onClose={() => setAction(undefined)} />
      )}
    </div>
  );
}

function ClientTable({
  clients,
  isFiltered,
  onAction,
}: {
  clients: Client[];
  isFiltered: boolean;
  onAction: ((client: Client, action: ClientAction) => void) | undefined;
}) {
  if (clients.length === 0) {
    return isFiltered ? (
      <Empty icon="search" title="No client matches">
        Change the search or the status.
      </Empty>
    ) : (
      <Empty icon="bot" title="No clients yet">
        A client is a program that connects with a key of its own. Create one, and start it with the snippet that you get.
      </Empty>
    );
  }
  return (
    <div class="table-wrap">
      <table class="table cards">
        <thead>
          <tr>
            <th>Name</th>
            <th>Status</th>
            <th>Last seen</th>
            <th>May publish</th>
            <th>May subscribe</th>
            {onAction && (
              <th>
                <span class="visually-hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {clients.map((client) => (
            <tr key={client.client_id}>
              <td>
                <Link class="main-link" href={`/clients/${client.client_id}`}>
                  {client.name}
                </Link>
                <div class="mono faint truncate">{client.client_id}</div>
              </td>
              <td>
                <StatusBadge status={client.status} />
              </td>
              <td class="muted">{client.status === "online" ? "now" : <Ago at={client.last_seen} />}</td>
              <td class="mono optional">{patterns(client.permissions.publish)}</td>
              <td class="mono optional">{patterns(client.permissions.subscribe)}</td>
              {onAction && (
                <td class="end">
                  <Menu
                    label={`Actions for ${client.name}`}
                    buttonClass="button small"
                    button={<>Actions</>}
                    items={actionsFor(client).map(({ kind, label, danger }) => ({
                      label,
                      danger,
                      onSelect: () => onAction(client, kind),
                    }))}
                  />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function patterns(list: string[]): string {
  if (list.length === 0) return "nothing";
  return list.length > 2 ? `${list.slice(0, 2).join(", ")} +${list.length - 2}` : list.join(", ");
}
