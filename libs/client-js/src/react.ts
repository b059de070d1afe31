// Hooks for React. React is an optional peer: only this entry, `@artcafe/client/react`, needs it.

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

// From the package's other entry, so that both have the same error classes.
import {
  type Ack,
  ArtcafeError,
  type Client,
  type GapError,
  type Message,
  NotConnected,
  type PublishOptions,
  type RosterEntry,
  type State,
  type Subscription,
} from "./index.js";

/** How many messages `useChannel` shows by default. */
const DEFAULT_LIMIT = 100;

export interface UseChannelOptions {
  /** The `seq` of the last message that was handled before: it continues with the next one. */
  resumeFrom?: number;
  /** Begins with the last N messages; without it and `resumeFrom`, with new ones. */
  last?: number;
  /** The number of messages that are kept for the component, the newest; 100 by default. */
  limit?: number;
}

export interface ChannelView {
  /** The newest messages, oldest first. */
  messages: readonly Message[];
  /** What is not stored any more, if the channel has told so. */
  gaps: readonly GapError[];
  /** Why the subscription has ended. */
  error: ArtcafeError | undefined;
  /** Publishes to the channel. */
  publish: (data: unknown, options?: PublishOptions) => Promise<Ack>;
}

export interface PresenceView {
  /** The organization's clients and agents, by name. */
  members: readonly RosterEntry[];
  /** Why they cannot be read now. */
  error: ArtcafeError | undefined;
}

/** The state of a client's connection; `disconnected` without a client. */
export function useConnectionState(client: Client | undefined): State {
  const subscribe = useCallback(
    (onChange: () => void) => client?.onState(onChange) ?? ((): void => undefined),
    [client],
  );
  return useSyncExternalStore(
    subscribe,
    () => client?.state ?? "disconnected",
    () => "disconnected",
  );
}

/** The messages of a channel, as they arrive. The subscription ends with the component. */
export function useChannel(
  client: Client | undefined,
  channel: string | undefined,
  options: UseChannelOptions = {},
): ChannelView {
  const { resumeFrom, last, limit = DEFAULT_LIMIT } = options;
  const [view, setView] = useState<Omit<ChannelView, "publish">>(EMPTY_CHANNEL);
  // A change of the limit does not begin a new subscription.
  const limitRef = useRef(limit);
  useEffect(() => {
    limitRef.current = limit;
  }, [limit]);

  useEffect(() => {
    setView(EMPTY_CHANNEL);
    if (!client || channel === undefined) return undefined;
    const stopped = new AbortController();
    const begin = (): Subscription =>
      client.channel(channel).subscribe({
        signal: stopped.signal,
        onGap: (gap) => {
          setView((before) => ({ ...before, gaps: [...before.gaps, gap] }));
        },
        ...(resumeFrom === undefined ? {} : { resumeFrom }),
        ...(last === undefined ? {} : { last }),
      });
    void follow(begin, stopped.signal, (messages) => {
      setView((before) => ({ ...before, messages: [...before.messages, ...messages].slice(-limitRef.current) }));
    }).catch((error: unknown) => {
      if (!stopped.signal.aborted) setView((before) => ({ ...before, error: toError(error) }));
    });
    return () => {
      stopped.abort();
    };
  }, [client, channel, resumeFrom, last]);

  const publish = useCallback(
    async (data: unknown, publishOptions?: PublishOptions) => {
      if (!client || channel === undefined) throw new NotConnected("there is no client or no channel");
      return await client.channel(channel).publish(data, publishOptions);
    },
    [client, channel],
  );
  return { ...view, publish };
}

/** Who is in the organization, and online: the roster, kept up to date while the component is shown. */
export function usePresence(client: Client | undefined): PresenceView {
  const [view, setView] = useState<PresenceView>(EMPTY_PRESENCE);

  useEffect(() => {
    setView(EMPTY_PRESENCE);
    if (!client) return undefined;
    const stopped = new AbortController();
    const { signal } = stopped;
    let known = new Set<string>();
    // Whom changes named, and the roster did not have: it may follow a moment later. By how often it was read for them.
    const missing = new Map<string, number>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Counts what may have happened after a read began.
    let version = 0;
    let isReading = false;
    const readOnce = async (): Promise<void> => {
      try {
        const members = await client.presence.roster();
        known = new Set(members.map((each) => each.client_id));
        if (!signal.aborted) setView({ members: members.sort(byName), error: undefined });
      } catch (error) {
        // Without a connection it is read again on the next one.
        if (!signal.aborted) setView((before) => ({ ...before, error: toError(error) }));
      }
    };
    const read = async (): Promise<void> => {
      version += 1;
      if (isReading) return;
      isReading = true;
      let seen: number;
      do {
        seen = version;
        await readOnce();
      } while (seen !== version && !signal.aborted);
      isReading = false;
      for (const [id, reads] of missing) {
        if (known.has(id) || reads >= MISSING_READS) missing.delete(id);
        else missing.set(id, reads + 1);
      }
      clearTimeout(timer);
      if (missing.size > 0 && !signal.aborted) timer = setTimeout(() => void read(), MISSING_DELAY_MS);
    };
    const onChanges = (messages: Message[]): void => {
      const changes = messages.map((message) => message.data as PresenceChange);
      setView((before) => ({ ...before, members: before.members.map((each) => apply(each, changes)) }));
      // Somebody new has a name and metadata, which a change does not tell.
      for (const { client_id: id } of changes) if (!known.has(id)) missing.set(id, 0);
      if (isReading || missing.size > 0) void read();
    };
    const readOnConnection = client.onState((state) => {
      if (state === "connected") void read();
    });
    void follow(() => client.presence.watch({ signal }), signal, onChanges).catch((error: unknown) => {
      if (!signal.aborted) setView((before) => ({ ...before, error: toError(error) }));
    });
    if (client.state === "connected") void read();
    return () => {
      stopped.abort();
      clearTimeout(timer);
      readOnConnection();
    };
  }, [client]);

  return view;
}

// The roster has a new client within a second.
const [MISSING_READS, MISSING_DELAY_MS] = [4, 500];
const EMPTY_CHANNEL: Omit<ChannelView, "publish"> = { messages: [], gaps: [], error: undefined };
const EMPTY_PRESENCE: PresenceView = { members: [], error: undefined };

interface PresenceChange {
  client_id: string;
  status: string;
  health: RosterEntry["health"];
  last_seen: string;
}

/** Reads a subscription until it is aborted; passes on together what arrived together. */
async function follow(
  begin: () => Subscription,
  signal: AbortSignal,
  onMessages: (messages: Message[]) => void,
): Promise<void> {
  let batch: Message[] = [];
  for await (const message of begin()) {
    if (signal.aborted) return;
    if (batch.push(message) === 1) {
      setTimeout(() => {
        const arrived = batch;
        batch = [];
        if (!signal.aborted) onMessages(arrived);
      });
    }
  }
}

function apply(member: RosterEntry, changes: PresenceChange[]): RosterEntry {
  const last = changes.filter((change) => change.client_id === member.client_id).at(-1);
  return last ? { ...member, status: last.status, health: last.health, last_seen: last.last_seen } : member;
}

function byName(one: RosterEntry, other: RosterEntry): number {
  return one.name.localeCompare(other.name);
}

function toError(error: unknown): ArtcafeError {
  return error instanceof ArtcafeError ? error : new ArtcafeError(String(error));
}
