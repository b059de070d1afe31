import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Accepted, Channel } from "../../api/types.js";
import { parseData } from "../../app/parse-data.js";
import { Card, Note } from "../../ui/basics.js";
import { TextArea } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { messageOf } from "../../ui/states.js";

/** Publishes a message to a channel, as the person who is signed in. */
export function Publish({ channel }: { channel: Channel }) {
  const api = useApi();
  const queries = useQueryClient();
  const [text, setText] = useState('{\n  "hello": "world"\n}');
  const [sent, setSent] = useState<Accepted>();
  const [error, setError] = useState<unknown>();
  const { data, problem } = parseData(text);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    setSent(undefined);
    api
      .post<Accepted>(`/channels/${channel.channel_id}/messages`, { data })
      .then((accepted) => {
        setSent(accepted);
        void queries.invalidateQueries({ queryKey: ["history", channel.channel_id] });
      })
      .catch(setError);
  };
  return (
    <Card title="Publish">
      <form class="stack" onSubmit={submit}>
        <TextArea label="Message (JSON)" value={text} onChange={setText} problem={problem} />
        <div aria-live="polite">
          {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
          {sent && <Note tone="ok">Published{sent.seq === undefined ? "." : `, kept as #${sent.seq}.`}</Note>}
        </div>
        <div>
          <button type="submit" class="button primary" disabled={problem !== undefined}>
            <Icon name="send" size={14} /> Publish
          </button>
        </div>
      </form>
    </Card>
  );
}
