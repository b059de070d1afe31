import { useQuery } from "@tanstack/preact-query";
import type { ComponentChildren } from "preact";
import { useApi } from "../../api/organization.js";
import { useStore } from "../../api/store.js";
import type { PlatformStatus } from "../../api/types.js";
import { time } from "../../app/format.js";
import { Card, Note, PageHead, StatusBadge } from "../../ui/basics.js";
import { Loaded } from "../../ui/states.js";

const INTERVAL_MS = 10_000;
const SERVICES: Record<string, string> = {
  gateway: "REST and WebSocket, and the delivery of messages",
  identity: "keys, tokens and logins",
  tenancy: "organizations, members, clients, channels, the activity log",
  presence: "who is online, and connections",
  metering: "usage and quotas",
};
const STORES: Record<string, string> = {
  nats: "the message broker",
  dynamodb: "what organizations own",
  redis: "counters and limits",
  openid_provider: "people's passwords",
};
const HISTORY: Record<string, string> = {
  ok: "Messages of channels are kept and can be read.",
  unavailable: "Messages of channels cannot be kept or read now.",
  none: "This organization keeps no messages yet.",
};

export function HealthPage() {
  const api = useApi();
  const socket = useStore(api.socket.state);
  const query = useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => api.get<PlatformStatus>("/status", {}, signal),
    refetchInterval: INTERVAL_MS,
  });
  return (
    <div class="page">
      <PageHead
        title="Health"
        text={query.data ? `As of ${time(query.dataUpdatedAt)}, read again every 10 seconds.` : "The parts of the service."}
      />
      <Loaded query={query}>
        {(status) => (
          <>
            {status.status === "ok" ? (
              <Note tone="ok">Every part of the service works.</Note>
            ) : (
              <Note tone="bad">A part of the service does not work as it should. Its operators see the reason.</Note>
            )}
            {status.findings.length > 0 && (
              <Card title="Findings" flush>
                <ul class="list">
                  {status.findings.map(({ check, status: tone, detail, remedy }) => (
                    <li key={check} class="row between">
                      <span>
                        <strong>{check}</strong>: {detail}
                        <br />
                        <span class="muted small">{remedy}</span>
                      </span>
                      <StatusBadge status={tone === "fail" ? "unavailable" : "degraded"} />
                    </li>
                  ))}
                </ul>
              </Card>
            )}
            <div class="grid-2">
              <Parts title="Services" parts={status.services} words={SERVICES} />
              <div class="stack">
                <Parts title="Stores" parts={status.stores} words={STORES} />
                <Card title="This organization" flush>
                  <ul class="list">
                    <Part name="History" status={status.history}>
                      {HISTORY[status.history]}
                    </Part>
                    <Part name="This page" status={socket}>
                      Changes are shown as they happen.
                    </Part>
                  </ul>
                </Card>
                <p class="small faint">Version {status.version}</p>
              </div>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}

function Parts({
  title,
  parts,
  words,
}: {
  title: string;
  parts: PlatformStatus["services"];
  words: Record<string, string>;
}) {
  return (
    <Card title={title} flush>
      <ul class="list">
        {parts.map(({ name, status }) => (
          <Part key={name} name={name} status={status}>
            {words[name] ?? ""}
          </Part>
        ))}
      </ul>
    </Card>
  );
}

function Part({
  name,
  status,
  children,
}: {
  name: string;
  status: string;
  children: ComponentChildren;
}) {
  return (
    <li class="row between">
      <span>
        <strong>{name}</strong>
        <br />
        <span class="muted small">{children}</span>
      </span>
      <StatusBadge status={status} />
    </li>
  );
}
