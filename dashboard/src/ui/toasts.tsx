import { Store, useStore } from "../api/store.js";
import { Icon } from "./icon.js";
import { messageOf } from "./states.js";

interface Toast {
  id: number;
  text: string;
  isBad: boolean;
}

const SHOWN_MS = 5_000;
const toasts = new Store<Toast[]>([]);
let last = 0;

/** Shows a sentence for a moment. */
export function toast(text: string, isBad = false): void {
  const id = ++last;
  toasts.set([...toasts.get(), { id, text, isBad }]);
  setTimeout(() => toasts.set(toasts.get().filter((each) => each.id !== id)), SHOWN_MS);
}

export function toastError(error: unknown): void {
  toast(messageOf(error), true);
}

export function clearToasts(): void {
  toasts.set([]);
}

export function Toasts() {
  const shown = useStore(toasts);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text, isBad }) => (
        <div key={id} class={`toast ${isBad ? "bad" : ""}`}>
          <Icon name={isBad ? "triangle-alert" : "circle-check"} />
          <span>{text}</span>
        </div>
      ))}
    </div>
  );
}
