import { useState } from "preact/hooks";
import { usePages } from "../../ui/pages.js";
import { useApi } from "../../api/organization.js";
import type { Accepted, Channel } from "../../api/types.js";
import { parseData } from "../../app/parse-data.js";
import { Card, Note } from "../../ui/basics.js";
import { Segments, Select, TextArea, TextField } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { messageOf } from "../../ui/states.js";
import { useActingClient } from "./use-acting-client.js";

const MAX_HISTORY = 20;

interface Sent {
  /** A channel's id, or a subject. */
  target: string;
  isChannel: boolean;
  text: string;
}

/** Publishes: to a channel as the person, or on any subject as a client whose seed the person has. */
export function SendBox() {
  const api = useApi();
  const channels = usePages<Channel>(["channels"], "/channels", "channels", { limit: 100 });
  const [kind, setKind] = useState("channel");
  const [chosen, setChosen] = useState("");
  const [subject, setSubject] = useState("hello");
  const [text, setText] = useState('{ "n": 1 }');
  const [history, setHistory] = useState<Sent[]>([]);
  const [result, setResult] = useState("");
  const [error, setError] = useState<unknown>();
  const acting = useActingClient();
  const { data, problem } = parseData(text);
  const isChannel = kind === "channel";
  const channelId = chosen || (channels.items?.[0]?.channel_id ?? "");
  const canSend = problem === undefined && (isChannel ? channelId !== "" : subject.trim() !== "" && acting.isReady);

  const send = async (): Promise<string> => {
    if (!isChannel) return acting.publish(subject.trim(), data);
    const accepted = await api.post<Accepted>(`/channels/${channelId}/messages`, { data });
    return accepted.seq === undefined ? "Published." : `Published, kept as #${accepted.seq}.`;
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    setResult("");
    const sent = { target: isChannel ? channelId : subject.trim(), isChannel, text };
    send()
      .then((words) => {
        setResult(words);
        setHistory((all) => [sent, ...all.filter((each) => key(each) !== key(sent))].slice(0, MAX_HISTORY));
      })
      .catch(setError);
  };
  const recall = (index: string): void => {
    const sent = history[Number(index)];
    if (!sent) return;
    setKind(sent.isChannel ? "channel" : "subject");
    if (sent.isChannel) setChosen(sent.target);
    else setSubject(sent.target);
    setText(sent.text);
  };
  return (
    <Card
      title="Send"
      actions={
        history.length > 0 && (
          <Select
            label="Sent before"
            hideLabel
            value=""
            options={[
              { value: "", label: "Sent before…" },
              ...history.map((each, i) => ({ value: String(i), label: each.text.slice(0, 40) })),
            ]}
            onChange={recall}
          />
        )
      }
    >
      <form class="stack" onSubmit={submit}>
        <Segments
          label="Send to"
          value={kind}
          options={[
            { value: "channel", label: "A channel" },
            { value: "subject", label: "A subject" },
          ]}
          onChange={setKind}
        />
        {isChannel ? (
          channels.items?.length === 0 ? (
            <Note>There is no channel yet.</Note>
          ) : (
            <Select
              label="Channel"
              value={channelId}
              options={(channels.items ?? []).map((each) => ({ value: each.channel_id, label: each.name }))}
              onChange={setChosen}
            />
          )
        ) : (
          <>
            {acting.form}
            <TextField label="Subject" required value={subject} onChange={setSubject} />
          </>
        )}
        <TextArea label="Message (JSON)" value={text} onChange={setText} problem={problem} />
        <div aria-live="polite">
          {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
          {result && <Note tone="ok">{result}</Note>}
        </div>
        <div>
          <button type="submit" class="button primary" disabled={!canSend}>
            <Icon name="send" size={14} /> Send
          </button>
        </div>
      </form>
    </Card>
  );
}

function key(sent: Sent): string {
  return JSON.stringify(sent);
}
