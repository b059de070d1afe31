import type { UseQueryResult } from "@tanstack/preact-query";
import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Client, ClientReport, InspectedConnection, Json } from "../../api/types.js";
import { bytes, dateTime, duration, number } from "../../app/format.js";
import { Ago, Badge, Card, CopyButton } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { JsonView } from "../../ui/json-view.js";
import { Empty, Loaded } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";

const INTERVAL_MS = 10_000;

export function Connections({ client, status }: { client: Client; status: UseQueryResult<ClientReport> }) {
  const api = useApi();
  const inspected = useQuery({
    queryKey: ["client-status", client.client_id, "connections"],
    queryFn: ({ signal }) =>
      api.get<{ connections: InspectedConnection[] }>(`/clients/${client.client_id}/connections`, {}, signal),
    refetchInterval: INTERVAL_MS,
  });
  return (
    <div class="grid-main">
      <div class="stack">
        <Loaded query={inspected}>
          {(found) => <ConnectionList client={client} connections={found.connections} />}
        </Loaded>
      </div>
      <div class="stack">
        <Card title="Identity">
          <dl class="facts">
            <dt>Id</dt>
            <dd class="mono">{client.client_id}</dd>
            <dt>Public key</dt>
            <dd class="mono">{client.nkey_public}</dd>
            <dt>Created</dt>
            <dd>{dateTime(client.created_at)}</dd>
            <dt>Changed</dt>
            <dd>
              <Ago at={client.updated_at} />
            </dd>
          </dl>
          <div class="row" style={{ marginBlockStart: "12px" }}>
            <CopyButton text={client.client_id} label="Copy the id" />
          </div>
        </Card>
        {status.data && (
          <>
            <Announced title="Reported metrics" value={status.data.metrics} />
            <Announced title="Reported traffic" value={status.data.traffic} />
            <Announced title="Announced" value={status.data.metadata} />
          </>
        )}
      </div>
    </div>
  );
}

function Announced({ title, value }: { title: string; value: Record<string, Json> | null }) {
  if (!value || Object.keys(value).length === 0) return null;
  return (
    <Card title={title} flush>
      <JsonView value={value} />
    </Card>
  );
}

function ConnectionList({ client, connections }: { client: Client; connections: InspectedConnection[] }) {
  const api = useApi();
  const queries = useQueryClient();
  const [ending, setEnding] = useState<InspectedConnection>();
  if (connections.length === 0) {
    return (
      <Card title="Connections" flush>
        <Empty icon="unplug" title="Not connected">
          Its connections appear here as soon as it connects.
        </Empty>
      </Card>
    );
  }
  return (
    <Card title={`Connections (${connections.length})`} flush>
      <ul class="list">
        {connections.map((each) => (
          <li key={each.connection_id} class="stack tight">
            <div class="row between wrap">
              <span class="row wrap">
                <Badge tone="info">{each.transport === "nats" ? "NATS" : "WebSocket"}</Badge>
                <span class="mono">{each.ip || "address unknown"}</span>
                {each.library && <span class="muted small">{each.library}</span>}
              </span>
              {api.may("member") && (
                <button type="button" class="button small danger" onClick={() => setEnding(each)}>
                  Disconnect
                </button>
              )}
            </div>
            <ConnectionFacts connection={each} />
          </li>
        ))}
      </ul>
      {ending && (
        <Confirm
          title="Disconnect it?"
          submit="Disconnect"
          consequences={[
            "This one connection ends at once.",
            `${client.name} may connect again, and its SDK does so by itself. To keep it away, suspend it.`,
          ]}
          onClose={() => setEnding(undefined)}
          onConfirm={async () => {
            await api.delete(`/connections/${ending.connection_id}`);
            void queries.invalidateQueries({ queryKey: ["client-status"] });
            toast("The connection has ended.");
          }}
        />
      )}
    </Card>
  );
}

function ConnectionFacts({ connection }: { connection: InspectedConnection }) {
  const { queued_bytes: queued, messages_in: received, messages_out: sent } = connection;
  const more = (connection.subscription_count ?? 0) - connection.subscriptions.length;
  return (
    <dl class="facts">
      <dt>Connected</dt>
      <dd>
        for {duration(connection.age_s)}, since {dateTime(connection.connected_at)}
      </dd>
      <dt>Heartbeat</dt>
      <dd>
        <Ago at={connection.last_seen} />
        {connection.idle_s !== null && `; sent something ${duration(connection.idle_s)} ago`}
      </dd>
      {queued !== null && (
        <>
          <dt>Waits to be sent</dt>
          <dd>{queued === 0 ? "nothing" : <Badge tone="warn">{bytes(queued)}</Badge>}</dd>
        </>
      )}
      {received !== null && sent !== null && (
        <>
          <dt>Messages</dt>
          <dd class="number">
            {number(received)} in, {number(sent)} out
          </dd>
        </>
      )}
      <dt>Subscriptions</dt>
      <dd>
        {connection.subscription_count === null ? (
          <span class="muted">its server did not answer</span>
        ) : connection.subscription_count === 0 ? (
          "none"
        ) : (
          <span class="tag-list">
            {connection.subscriptions.map((each) => (
              <code key={each} class="badge">
                {each}
              </code>
            ))}
            {more > 0 && <span class="muted">and {more} more</span>}
          </span>
        )}
      </dd>
      {connection.errors.length > 0 && (
        <>
          <dt>Last errors</dt>
          <dd class="tag-list">
            {connection.errors.map((each, i) => (
              <span key={i} class="badge bad" title={dateTime(each.at)}>
                {each.code}
              </span>
            ))}
          </dd>
        </>
      )}
      <dt>Server</dt>
      <dd class="mono">{connection.server}</dd>
    </dl>
  );
}
