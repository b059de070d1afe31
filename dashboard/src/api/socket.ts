// The dashboard's WebSocket: presence, activity and the preview of messages.

import { Store } from "./store.js";
import type { ActivityFrame, PresenceFrame } from "./types.js";

export type SocketState = "connecting" | "connected" | "disconnected";

export interface Preview {
  pattern: string;
  sample: number;
}

export interface Handlers {
  presence: (frame: PresenceFrame) => void;
  activity: (frame: ActivityFrame) => void;
  /** The text of a `topic_preview_message` frame, which is parsed only if it is shown. */
  preview: (text: string) => void;
  error: (frame: { code: string; message: string }) => void;
}

type Kind = keyof Handlers;

// The server writes `type` first.
const PREVIEW = '{"type":"topic_preview_message"';
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
// The token, or the membership, has ended.
const FINAL_CODES = new Set([4401, 4403]);

export class DashboardSocket {
  readonly state = new Store<SocketState>("disconnected");
  readonly #handlers: { [K in Kind]: Set<Handlers[K]> } = {
    presence: new Set(),
    activity: new Set(),
    preview: new Set(),
    error: new Set(),
  };
  #ws: WebSocket | undefined;
  #preview: Preview | undefined;
  #usedToken = "";
  #attempts = 0;
  #retryAfterMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(
    private readonly token: () => string,
    private readonly tenantId: string,
    private readonly onFinal: (code: number) => void,
  ) {}

  open(): void {
    if (this.#isClosed) return;
    const url = new URL("/api/v1/ws/dashboard", location.origin);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("tenant_id", this.tenantId);
    this.state.set("connecting");
    // A browser cannot set a header here; a token in the address could be logged.
    const token = this.token();
    const ws = new WebSocket(url, ["bearer", token]);
    this.#ws = ws;
    this.#usedToken = token;
    ws.onmessage = ({ data }: MessageEvent<string>) => {
      if (this.#ws === ws) this.#receive(data);
    };
    ws.onclose = ({ code }) => {
      if (this.#ws === ws) this.#lost(code);
    };
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const ws = this.#ws;
    this.#ws = undefined;
    ws?.close(1000);
    this.state.set("disconnected");
    for (const handlers of Object.values(this.#handlers)) handlers.clear();
  }

  on<K extends Kind>(kind: K, handler: Handlers[K]): () => void {
    this.#handlers[kind].add(handler);
    return () => this.#handlers[kind].delete(handler);
  }

  /** Shows messages from now on, also after the next connection; none without a preview. */
  setPreview(preview: Preview | undefined): void {
    this.#preview = preview;
    this.#requestPreview();
  }

  #requestPreview(): void {
    if (this.state.get() !== "connected") return;
    this.#ws?.send(
      JSON.stringify(
        this.#preview
          ? { type: "subscribe_topic_preview", ...this.#preview }
          : { type: "unsubscribe_topic_preview" },
      ),
    );
  }

  #receive(text: string): void {
    if (text.startsWith(PREVIEW)) {
      for (const handler of this.#handlers.preview) handler(text);
      return;
    }
    const frame = JSON.parse(text) as { type: string } & Record<string, unknown>;
    switch (frame.type) {
      case "welcome":
        this.#attempts = 0;
        this.state.set("connected");
        if (this.#preview) this.#requestPreview();
        break;
      case "presence":
        for (const handler of this.#handlers.presence) handler(frame as unknown as PresenceFrame);
        break;
      case "activity":
        for (const handler of this.#handlers.activity) handler(frame as unknown as ActivityFrame);
        break;
      case "reconnect":
        this.#retryAfterMs = Number(frame["retry_after_ms"] ?? 0);
        break;
      case "error":
        for (const handler of this.#handlers.error) handler(frame as unknown as { code: string; message: string });
        break;
    }
  }

  #lost(code: number): void {
    this.#ws = undefined;
    this.state.set("disconnected");
    // An expired token has been renewed by now.
    if (FINAL_CODES.has(code) && this.#usedToken === this.token()) {
      this.onFinal(code);
      return;
    }
    const bound = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    // Full jitter, so that many pages do not return at once.
    const delay = this.#retryAfterMs || Math.random() * bound;
    this.#retryAfterMs = 0;
    this.#timer = setTimeout(() => this.open(), delay);
  }
}
