import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { Channel, SubjectRecord } from "../../api/types.js";
import { bytes, duration, number } from "../../app/format.js";
import { useFilter } from "../../app/search-params.js";
import { useDebounced } from "../../app/use-debounced.js";
import { Ago, Badge, Card, PageHead, StatusBadge } from "../../ui/basics.js";
import { Search, Segments } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Listed } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { Empty } from "../../ui/states.js";
import { CreateChannel, CreateSubject } from "./create.js";

const KINDS = [
  { value: "channels", label: "Channels" },
  { value: "subjects", label: "Stored subjects" },
];

export function ChannelsPage() {
  const api = useApi();
  const [kind, setKind] = useFilter("kind", "channels");
  const [name, setName] = useFilter("name");
  const searched = useDebounced(name);
  const [isNew, setNew] = useState(false);
  const isChannels = kind === "channels";
  return (
    <div class="page">
      <PageHead
        title="Channels and subjects"
        text={
          isChannels
            ? "Named topics, whose messages are kept."
            : "Patterns of subjects whose messages are stored, each with limits of its own."
        }
      >
        {api.may("member") && (
          <button type="button" class="button primary" onClick={() => setNew(true)}>
            <Icon name="plus" /> {isChannels ? "New channel" : "Store a subject"}
          </button>
        )}
      </PageHead>
      <div class="toolbar">
        <Segments label="Kind" value={kind} options={KINDS} onChange={setKind} />
        {isChannels && <Search label="Search by name" value={name} onChange={setName} />}
      </div>
      {isChannels ? <Channels name={searched} /> : <Subjects />}
      {isNew && (isChannels ? <CreateChannel onClose={() => setNew(false)} /> : <CreateSubject onClose={() => setNew(false)} />)}
    </div>
  );
}

function Channels({ name }: { name: string }) {
  const list = usePages<Channel>(["channels"], "/channels", "channels", { name, limit: 100 });
  return (
    <Card flush>
      <Listed
        list={list}
        empty={
          <Empty icon="hash" title={name ? "No channel matches" : "No channels yet"}>
            {name ? "Change the search." : "Subscribers of a channel can also read its earlier messages."}
          </Empty>
        }
      >
        {(items) => (
          <table class="table cards">
            <thead>
              <tr>
                <th>Name</th>
                <th>Messages</th>
                <th>Description</th>
                <th>Created</th>
              </tr>
            </thead>
            <tbody>
              {items.map((channel) => (
                <tr key={channel.channel_id}>
                  <td>
                    <Link class="main-link" href={`/channels/${channel.channel_id}`}>
                      {channel.name}
                    </Link>
                    <div class="mono faint truncate">{channel.channel_id}</div>
                  </td>
                  <td>
                    <Badge tone={channel.has_history ? "ok" : ""}>{channel.has_history ? "kept" : "live only"}</Badge>
                  </td>
                  <td class="muted optional">{channel.description || "–"}</td>
                  <td class="muted optional">
                    <Ago at={channel.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Listed>
    </Card>
  );
}

function Subjects() {
  const list = usePages<SubjectRecord>(["subjects"], "/subjects", "subjects", { limit: 100 });
  return (
    <Card flush>
      <Listed
        list={list}
        empty={
          <Empty icon="hash" title="Nothing is stored yet">
            Store the messages of a pattern such as <code>orders.&gt;</code>, for as long and as many as you say.
          </Empty>
        }
      >
        {(items) => (
          <table class="table cards">
            <thead>
              <tr>
                <th>Name</th>
                <th>Status</th>
                <th>Pattern</th>
                <th>Kept</th>
              </tr>
            </thead>
            <tbody>
              {items.map((subject) => (
                <tr key={subject.subject_id}>
                  <td>
                    <Link class="main-link" href={`/channels/subjects/${subject.subject_id}`}>
                      {subject.name}
                    </Link>
                  </td>
                  <td>
                    <StatusBadge status={subject.status} />
                  </td>
                  <td class="mono">{subject.pattern}</td>
                  <td class="muted optional">{retentionWords(subject)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Listed>
    </Card>
  );
}

export function retentionWords({ retention }: SubjectRecord): string {
  const parts = [
    retention.max_age_s === null ? "" : duration(retention.max_age_s),
    retention.max_messages === null ? "" : `${number(retention.max_messages)} messages`,
    bytes(retention.max_bytes),
  ];
  return `up to ${parts.filter(Boolean).join(", ")}`;
}
