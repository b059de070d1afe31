// The states of a connection, and what each event does in each state. `make docs` generates this module from the table of
// the Python SDK; docs/guide/python.md describes it.

export type State =
  | "disconnected"
  | "connecting"
  | "connected"
  | "draining"
  | "closed";

export type StateEvent =
  | "open"
  | "welcome"
  | "lost"
  | "retry_later"
  | "refused"
  | "drain"
  | "close";

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

/** An event that is not listed for a state has no effect there. */
export const TRANSITIONS: Record<State, Partial<Record<StateEvent, Transition>>> = {
  disconnected: {
    open: { to: "connecting", actions: ["dial"] },
    drain: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    close: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
  },
  connecting: {
    welcome: { to: "connected", actions: ["resume"] },
    lost: { to: "disconnected", actions: ["fail_pending", "hang_up", "back_off"] },
    retry_later: { to: "disconnected", actions: ["fail_pending", "hang_up", "wait_as_told"] },
    refused: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    drain: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    close: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
  },
  connected: {
    lost: { to: "disconnected", actions: ["fail_pending", "hang_up", "back_off"] },
    retry_later: { to: "disconnected", actions: ["fail_pending", "hang_up", "wait_as_told"] },
    refused: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    drain: { to: "draining", actions: ["stop_receiving"] },
    close: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
  },
  draining: {
    lost: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    retry_later: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    refused: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
    close: { to: "closed", actions: ["fail_pending", "hang_up", "end"] },
  },
  closed: {},
};
