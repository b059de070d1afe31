import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { useNames } from "../../api/names.js";
import { useApi } from "../../api/organization.js";
import type { Channel, ChannelStorage, Page, Subscriber } from "../../api/types.js";
import { dateTime, number } from "../../app/format.js";
import { Ago, Badge, Card, CopyButton, PageHead } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { Empty, Failed, Loaded, Loading } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";
import { shortId } from "../activity/words.js";
import { History } from "./history.js";
import { Publish } from "./publish.js";

export function ChannelPage({ id }: { id: string }) {
  const api = useApi();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [dialog, setDialog] = useState<"purge" | "delete">();
  const close = (): void => setDialog(undefined);
  const channel = useQuery({
    queryKey: ["channel", id],
    queryFn: ({ signal }) => api.get<Channel>(`/channels/${id}`, {}, signal),
  });
  const storage = useQuery({
    queryKey: ["channel-storage", id],
    queryFn: ({ signal }) => api.get<ChannelStorage>(`/channels/${id}/storage`, {}, signal),
    refetchInterval: 15_000,
  });
  if (!channel.data) {
    return (
      <div class="page">
        <Back />
        {channel.isPending ? <Loading rows={8} /> : <Failed error={channel.error} retry={channel.refetch} />}
      </div>
    );
  }
  const shown = channel.data;
  return (
    <div class="page">
      <Back />
      <PageHead title={shown.name} text={shown.description}>
        <Link href={`/live?pattern=channel.${shown.channel_id}`} class="button">
          <Icon name="radio" size={14} /> Live tail
        </Link>
        {api.may("member") && (
          <>
            {shown.has_history && (
              <button type="button" class="button" onClick={() => setDialog("purge")}>
                Purge
              </button>
            )}
            <button type="button" class="button danger" onClick={() => setDialog("delete")}>
              Delete
            </button>
          </>
        )}
      </PageHead>
      <div class="grid-main">
        <History
          path={`/channels/${id}/messages`}
          queryKey={["history", id]}
          from={shown.created_at}
          isKept={shown.has_history}
          channel={shown}
        />
        <div class="stack">
          {api.may("member") && <Publish channel={shown} />}
          <Subscribers id={shown.channel_id} />
          <Card title="About">
            <dl class="facts">
              <dt>Messages</dt>
              <dd>
                <Badge tone={shown.has_history ? "ok" : ""}>{shown.has_history ? "kept" : "live only"}</Badge>
              </dd>
              {storage.data?.has_history && <Stored storage={storage.data} />}
              <dt>Subject</dt>
              <dd class="mono">{shown.subject}</dd>
              <dt>Created</dt>
              <dd>{dateTime(shown.created_at)}</dd>
            </dl>
            <div class="row" style={{ marginBlockStart: "12px" }}>
              <CopyButton text={shown.channel_id} label="Copy the id" />
              <CopyButton text={shown.subject} label="Copy the subject" />
            </div>
          </Card>
        </div>
      </div>
      {dialog === "purge" && (
        <Confirm
          title={`Purge ${shown.name}?`}
          submit="Delete its messages"
          typed={shown.name}
          consequences={[
            "All messages that are kept now are deleted; this cannot be undone.",
            "A client that resumes from one of them receives a gap.",
            "The channel, its subscribers and what is published from now on stay.",
          ]}
          onClose={close}
          onConfirm={async () => {
            await api.post(`/channels/${id}/purge`);
            for (const key of ["history", "channel-storage"]) void queries.invalidateQueries({ queryKey: [key, id] });
            toast(`The messages of ${shown.name} are deleted.`);
          }}
        />
      )}
      {dialog === "delete" && (
        <Confirm
          title={`Delete ${shown.name}?`}
          submit="Delete the channel"
          typed={shown.name}
          consequences={[
            "Its kept messages are deleted; this cannot be undone.",
            "Clients that publish or subscribe to it get the error channel_not_found.",
          ]}
          onClose={close}
          onConfirm={async () => {
            await api.delete(`/channels/${id}`);
            void queries.invalidateQueries({ queryKey: ["channels"] });
            toast(`${shown.name} is deleted.`);
            navigate("/channels");
          }}
        />
      )}
    </div>
  );
}

function Back() {
  return (
    <Link href="/channels" class="row small muted">
      <Icon name="arrow-left" size={14} /> Channels
    </Link>
  );
}

function Stored({ storage }: { storage: ChannelStorage }) {
  return (
    <>
      <dt>Rate</dt>
      <dd class="number">
        {number(storage.last_minute / 60)} per second ({number(storage.last_minute)} in the last minute)
      </dd>
      <dt>Kept now</dt>
      <dd class="number">
        {number(storage.messages)} of at most {number(storage.max_messages)}, for 7 days
      </dd>
      {storage.first_at && storage.last_at && (
        <>
          <dt>From</dt>
          <dd>
            {dateTime(storage.first_at)} (#{storage.first_seq})
          </dd>
          <dt>To</dt>
          <dd>
            {dateTime(storage.last_at)} (#{storage.last_seq})
          </dd>
        </>
      )}
    </>
  );
}

function Subscribers({ id }: { id: string }) {
  const api = useApi();
  const names = useNames("clients");
  const query = useQuery({
    queryKey: ["subscribers", id],
    queryFn: ({ signal }) => api.get<Page<"subscribers", Subscriber>>(`/channels/${id}/subscribers`, {}, signal),
    refetchInterval: 15_000,
  });
  return (
    <Card title="Subscribers" flush>
      <Loaded query={query}>
        {({ subscribers }) =>
          subscribers.length === 0 ? (
            <Empty icon="users" title="Nobody subscribes">
              Clients that subscribe over WebSocket are listed here.
            </Empty>
          ) : (
            <ul class="list">
              {subscribers.map((each) => (
                <li key={each.client_id} class="row between">
                  <Link href={`/clients/${each.client_id}`} class="grow truncate">
                    {names.get(each.client_id) ?? shortId(each.client_id)}
                  </Link>
                  {each.connections > 0 ? (
                    <Badge tone="ok">{each.connections === 1 ? "connected" : `${each.connections} connections`}</Badge>
                  ) : (
                    <span class="faint small">
                      <Ago at={each.subscribed_at} />
                    </span>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  );
}
