import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useNames } from "../../api/names.js";
import { useApi } from "../../api/organization.js";
import type { Accepted, PreviewMessage } from "../../api/types.js";
import { bytes, dateTime } from "../../app/format.js";
import { CopyButton } from "../../ui/basics.js";
import { Confirm } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { JsonView } from "../../ui/json-view.js";
import { Menu } from "../../ui/menu.js";
import { toast, toastError } from "../../ui/toasts.js";
import { shortId } from "../activity/words.js";
import { CALLS, callOf } from "./calls.js";
import { shortSubject } from "./subjects.js";

/** All of one message, and what can be done with it. */
export function MessageDetails({
  message,
  channelId,
}: {
  message: PreviewMessage & { seq?: number };
  channelId?: string | undefined;
}) {
  const api = useApi();
  const clients = useNames("clients");
  const channels = useNames("channels");
  const [isReplaying, setReplaying] = useState(false);
  const json = JSON.stringify(message.data, null, 2);
  const target = { subject: shortSubject(message.subject), channelId, data: message.data };
  return (
    <div>
      <div class="card-body stack tight">
        <dl class="facts">
          <dt>Subject</dt>
          <dd class="mono">{shortSubject(message.subject)}</dd>
          {channelId && (
            <>
              <dt>Channel</dt>
              <dd>
                <Link href={`/channels/${channelId}`}>{channels.get(channelId) ?? channelId}</Link>
              </dd>
            </>
          )}
          <dt>From</dt>
          <dd>
            {message.from ? (
              <Link href={`/clients/${message.from}`}>{clients.get(message.from) ?? shortId(message.from)}</Link>
            ) : (
              <span class="muted">a person, or a NATS client that does not sign</span>
            )}
          </dd>
          <dt>Time</dt>
          <dd>{dateTime(message.timestamp)}</dd>
          <dt>Size</dt>
          <dd>
            {bytes(message.size)}
            {message.seq !== undefined && `, kept as #${message.seq}`}
          </dd>
          {Object.entries(message.headers ?? {}).map(([name, value]) => (
            <Fragment key={name}>
              <dt>{name}</dt>
              <dd class="mono">{value}</dd>
            </Fragment>
          ))}
        </dl>
      </div>
      <JsonView value={message.data} />
      <div class="card-body row wrap">
        <CopyButton text={json} label="Copy JSON" />
        <Menu
          buttonClass="button small"
          button={
            <>
              <Icon name="copy" size={14} /> Copy as…
            </>
          }
          items={CALLS.map(({ kind, label }) => ({
            label,
            onSelect: () =>
              void navigator.clipboard
                .writeText(callOf(kind, target))
                .then(() => toast(`Copied as ${label}.`))
                .catch(toastError),
          }))}
        />
        {channelId && api.may("member") && (
          <button type="button" class="button small" onClick={() => setReplaying(true)}>
            <Icon name="repeat-2" size={14} /> Publish again
          </button>
        )}
      </div>
      {isReplaying && channelId && (
        <Confirm
          title="Publish this message again?"
          submit="Publish again"
          consequences={[
            <>
              A copy goes to <strong>{channels.get(channelId) ?? channelId}</strong>, and every subscriber receives it.
            </>,
            "It has a new id and time, and is sent by you, not by its first sender.",
          ]}
          onClose={() => setReplaying(false)}
          onConfirm={async () => {
            const body = { data: message.data, ...(message.headers && { headers: message.headers }) };
            const accepted = await api.post<Accepted>(`/channels/${channelId}/messages`, body);
            toast(accepted.seq === undefined ? "Published again." : `Published again as #${accepted.seq}.`);
          }}
        />
      )}
    </div>
  );
}
