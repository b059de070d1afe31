import { useState } from "preact/hooks";
import type { Channel, StoredMessage } from "../../api/types.js";
import { useNames } from "../../api/names.js";
import { clock, day, dateTime } from "../../app/format.js";
import { useDebounced } from "../../app/use-debounced.js";
import { Card } from "../../ui/basics.js";
import { Icon } from "../../ui/icon.js";
import { More } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { Empty, Failed, Loading } from "../../ui/states.js";
import { shortId } from "../activity/words.js";
import { MessageDetails } from "../live/message-details.js";
import { shortSubject } from "../live/subjects.js";

const PAGE = 50;
const STEPS = 1000;
const LONGEST_MS = 30 * 86_400_000;

/** Stored messages: the latest ones, or from a moment that a slider chooses. */
export function History({
  path,
  queryKey,
  from,
  isKept,
  channel,
}: {
  path: string;
  queryKey: unknown[];
  /** Nothing is older. */
  from: string;
  isKept: boolean;
  channel?: Channel;
}) {
  // The moment as a share of the time until now; at the end, the latest messages.
  const [position, setPosition] = useState(STEPS);
  const [selected, setSelected] = useState<number>();
  const settled = useDebounced(position, 200);
  const [now] = useState(() => Date.now());
  const begin = Math.max(new Date(from).getTime(), now - LONGEST_MS);
  const momentOf = (step: number): Date => new Date(begin + ((now - begin) * step) / STEPS);
  const isLatest = settled >= STEPS;
  const list = usePages<StoredMessage>(
    queryKey,
    path,
    "messages",
    isLatest ? { last: PAGE, limit: PAGE } : { since: momentOf(settled).toISOString(), limit: PAGE },
    { enabled: isKept, ...(isLatest && { refetchInterval: 10_000 }) },
  );
  const names = useNames("clients");
  const messages = isLatest ? [...(list.items ?? [])].reverse() : list.items;
  if (!isKept) {
    return (
      <Card title="History" flush>
        <Empty icon="scroll-text" title="Messages are not kept">
          The service could not keep messages for this channel yet.
        </Empty>
      </Card>
    );
  }
  return (
    <Card
      title="History"
      actions={
        <button
          type="button"
          class="button quiet square small"
          aria-label="Read again"
          onClick={() => void list.refetch()}
        >
          <Icon name="refresh-cw" size={14} />
        </button>
      }
      flush
    >
      <div class="live-status slider">
        <label for="moment">From</label>
        <input
          id="moment"
          type="range"
          min={0}
          max={STEPS}
          value={position}
          aria-valuetext={position >= STEPS ? "the latest messages" : dateTime(momentOf(position))}
          onInput={(event) => setPosition(Number(event.currentTarget.value))}
        />
        <span class="number">{position >= STEPS ? "the latest" : dateTime(momentOf(position))}</span>
        {position < STEPS && (
          <button type="button" class="button small" onClick={() => setPosition(STEPS)}>
            Latest
          </button>
        )}
      </div>
      {!messages || (list.isPending && !list.items) ? (
        list.isPending ? (
          <Loading />
        ) : (
          <Failed error={list.error} retry={list.refetch} />
        )
      ) : messages.length === 0 ? (
        list.error ? (
          <Failed error={list.error} retry={list.refetch} />
        ) : (
          <Empty icon="scroll-text" title="No messages">
            {isLatest ? "What is published from now on is kept and shown here." : "None was published after this moment."}
          </Empty>
        )
      ) : (
        <ul>
          {messages.map((message) => (
            <li key={message.seq}>
              <button
                type="button"
                class="live-row dated"
                aria-expanded={selected === message.seq}
                onClick={() => setSelected(selected === message.seq ? undefined : message.seq)}
              >
                <span class="time" title={dateTime(message.timestamp)}>
                  {day(message.timestamp)} {clock(message.timestamp).slice(0, 8)}
                </span>
                <span class="subject">
                  {message.from ? (names.get(message.from) ?? shortId(message.from)) : channel ? "a person or unknown" : shortSubject(message.subject)}
                </span>
                <span>{JSON.stringify(message.data)}</span>
                <span class="size">#{message.seq}</span>
              </button>
              {selected === message.seq && (
                <MessageDetails
                  message={{ ...message, size: JSON.stringify(message.data).length }}
                  channelId={channel?.channel_id ?? message.channel}
                />
              )}
            </li>
          ))}
        </ul>
      )}
      <More list={list} />
    </Card>
  );
}
