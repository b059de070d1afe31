// The states of a connection, and what each event does in each state: the table of the Python SDK. The client follows it,
// and a test compares the two.

export type State = "disconnected" | "connecting" | "connected" | "draining" | "closed";

/** What happens to a connection; docs/guide/python.md describes events and actions. */
export type StateEvent = "open" | "welcome" | "lost" | "retry_later" | "refused" | "drain" | "close";

export type Action =
  | "dial"
  | "resume"
  | "fail_pending"
  | "back_off"
  | "wait_as_told"
  | "stop_receiving"
  | "hang_up"
  | "end";

export interface Transition {
  to: State;
  actions: readonly Action[];
}

const lost: Transition = { to: "disconnected", actions: ["fail_pending", "hang_up", "back_off"] };
const later: Transition = { to: "disconnected", actions: ["fail_pending", "hang_up", "wait_as_told"] };
const end: Transition = { to: "closed", actions: ["fail_pending", "hang_up", "end"] };

/** An event that is not listed for a state has no effect there. */
export const TRANSITIONS: Record<State, Partial<Record<StateEvent, Transition>>> = {
  disconnected: { open: { to: "connecting", actions: ["dial"] }, drain: end, close: end },
  connecting: {
    welcome: { to: "connected", actions: ["resume"] },
    lost,
    retry_later: later,
    refused: end,
    drain: end,
    close: end,
  },
  connected: {
    lost,
    retry_later: later,
    refused: end,
    drain: { to: "draining", actions: ["stop_receiving"] },
    close: end,
  },
  draining: { lost: end, retry_later: end, refused: end, close: end },
  closed: {},
};
