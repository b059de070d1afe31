import { useEffect, useMemo, useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import { useNames } from "../../api/names.js";
import { bytes, clock, number } from "../../app/format.js";
import { useFilter } from "../../app/search-params.js";
import { useDebounced } from "../../app/use-debounced.js";
import { Card, Note, PageHead } from "../../ui/basics.js";
import { Search, Select } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { Empty } from "../../ui/states.js";
import { VirtualList } from "../../ui/virtual-list.js";
import { MessageDetails } from "./message-details.js";
import { SendBox } from "./send-box.js";
import { channelOf, shortSubject } from "./subjects.js";
import type { TailMessage } from "./tail.js";
import { useTail } from "./use-tail.js";

const ROW_HEIGHT = 30;
const SAMPLES = [
  { value: "1", label: "Every message" },
  { value: "0.1", label: "1 of 10" },
  { value: "0.01", label: "1 of 100" },
];

export function LivePage() {
  const api = useApi();
  const [pattern, setPattern] = useFilter("pattern");
  const [sample, setSample] = useFilter("sample", "1");
  const [search, setSearch] = useState("");
  const [isPaused, setPaused] = useState(false);
  const [selected, setSelected] = useState<TailMessage>();
  const names = useNames("channels");
  const tail = useTail(useDebounced(pattern, 400), Number(sample), isPaused);
  const searched = useDebounced(search).toLowerCase();
  // The newest first.
  const shown = useMemo(() => {
    const found = searched ? tail.messages.filter((each) => each.text.toLowerCase().includes(searched)) : tail.messages;
    return [...found].reverse();
  }, [tail.messages, searched]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = (event.target as HTMLElement).matches("input, textarea, select, button");
      if (event.key === " " && !isTyping) {
        event.preventDefault();
        setPaused((paused) => !paused);
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const notShown = tail.counts.dropped + tail.counts.skipped;
  return (
    <div class="page full">
      <PageHead title="Live tail" text="The messages of this organization as they are published. Looking is not billed.">
        <button type="button" class={`button ${isPaused ? "primary" : ""}`} onClick={() => setPaused(!isPaused)}>
          <Icon name={isPaused ? "play" : "pause"} size={14} /> {isPaused ? "Continue" : "Pause"}
        </button>
        <button type="button" class="button" onClick={tail.clear}>
          <Icon name="eraser" size={14} /> Clear
        </button>
      </PageHead>
      <div class="toolbar">
        <div class="search">
          <Icon name="radio" />
          <input
            class="input mono"
            aria-label="Pattern"
            placeholder="Pattern: everything, or orders.>"
            value={pattern}
            spellcheck={false}
            onInput={(event) => setPattern(event.currentTarget.value)}
          />
        </div>
        <Search label="Search in the messages" value={search} onChange={setSearch} />
        <Select label="Sampling" hideLabel value={sample} options={SAMPLES} onChange={setSample} />
      </div>
      {tail.problem && <Note tone="bad">{tail.problem}</Note>}
      <div class="live">
        <section class="card live-list">
          <div class="live-status" role="status" aria-live="off">
            <span>
              <strong class="number">{number(tail.perSecond)}</strong> per second
            </span>
            <span>
              <span class="number">{number(tail.counts.received)}</span> received
            </span>
            <span
              title={`${number(tail.counts.dropped)} left out by the server, ${number(tail.counts.skipped)} by this page`}
              data-testid="not-shown"
            >
              <span class="number">{number(notShown)}</span> not shown
            </span>
            {searched && <span>{number(shown.length)} match</span>}
            {isPaused && <span class="badge warn">paused</span>}
          </div>
          <div class="live-rows">
            {shown.length === 0 ? (
              <Empty icon="radio" title={isPaused ? "Paused" : "Waiting for messages"}>
                {searched ? "No message matches the search." : "Whatever is published appears here at once."}
              </Empty>
            ) : (
              <VirtualList
                label="Messages"
                count={shown.length}
                rowHeight={ROW_HEIGHT}
                row={(index) => {
                  const message = shown[index];
                  return message ? (
                    <Row
                      message={message}
                      name={subjectName(message.subject, names)}
                      isSelected={selected?.id === message.id}
                      onSelect={setSelected}
                    />
                  ) : null;
                }}
              />
            )}
          </div>
        </section>
        <div class="stack">
          <Card title="Message" flush>
            {selected ? (
              <MessageDetails message={selected} channelId={channelOf(selected.subject)} />
            ) : (
              <Empty icon="info" title="Select a message">
                Its data, headers and sender are shown here.
              </Empty>
            )}
          </Card>
          {api.may("member") && <SendBox />}
        </div>
      </div>
    </div>
  );
}

function Row({
  message,
  name,
  isSelected,
  onSelect,
}: {
  message: TailMessage;
  name: string;
  isSelected: boolean;
  onSelect: (message: TailMessage) => void;
}) {
  return (
    <button type="button" class="live-row" aria-pressed={isSelected} onClick={() => onSelect(message)}>
      <span class="time">{clock(message.timestamp)}</span>
      <span class="subject">{name}</span>
      <span>{summary(message)}</span>
      <span class="size">{bytes(message.size)}</span>
    </button>
  );
}

const MAX_SUMMARY = 240;

function summary(message: TailMessage): string {
  const text = typeof message.data === "string" ? message.data : JSON.stringify(message.data);
  return text.slice(0, MAX_SUMMARY);
}

function subjectName(subject: string, names: Map<string, string>): string {
  const name = names.get(channelOf(subject) ?? "");
  return name === undefined ? shortSubject(subject) : `channel ${name}`;
}
