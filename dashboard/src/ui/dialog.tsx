import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Icon } from "./icon.js";
import { Note } from "./basics.js";
import { messageOf } from "./states.js";

/** A modal dialog; the browser keeps the focus inside, and Escape closes it. */
export function Dialog({
  title,
  onClose,
  wide = false,
  children,
}: {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ComponentChildren;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    // Removing it closes it; to close it would tell `onClose`, also where another dialog takes its place.
    element.current?.showModal();
  }, []);
  return (
    <dialog ref={element} class={`dialog ${wide ? "wide" : ""}`} aria-labelledby={id} onClose={onClose}>
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" class="button quiet square small" aria-label="Close" onClick={onClose}>
          <Icon name="x" />
        </button>
      </div>
      {children}
    </dialog>
  );
}

/** A form in a dialog, which stays open with the reason when the action fails. */
export function FormDialog({
  title,
  submit,
  danger = false,
  canSubmit = true,
  wide = false,
  onClose,
  onSubmit,
  children,
}: {
  title: string;
  /** The words on the button. */
  submit: string;
  danger?: boolean;
  canSubmit?: boolean;
  wide?: boolean;
  onClose: () => void;
  onSubmit: () => Promise<unknown>;
  children: ComponentChildren;
}) {
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const run = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    onSubmit()
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={run}>
        <div class="dialog-body">
          {children}
          {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
        </div>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button
            type="submit"
            class={`button ${danger ? "danger solid" : "primary"}`}
            disabled={isBusy || !canSubmit}
          >
            {submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Says what an action will do, and waits for the person to agree. */
export function Confirm({
  title,
  submit,
  consequences,
  typed,
  staysOpen = false,
  onClose,
  onConfirm,
}: {
  title: string;
  submit: string;
  consequences: ComponentChildren[];
  /** A text that the person has to type first. */
  typed?: string;
  /** What follows takes its place. */
  staysOpen?: boolean;
  onClose: () => void;
  onConfirm: () => Promise<unknown>;
}) {
  const [text, setText] = useState("");
  const id = useId();
  return (
    <FormDialog
      title={title}
      submit={submit}
      danger
      canSubmit={typed === undefined || text === typed}
      onClose={onClose}
      onSubmit={async () => {
        await onConfirm();
        if (!staysOpen) onClose();
      }}
    >
      <ul class="stack tight">
        {consequences.map((each, i) => (
          <li key={i} class="row">
            <Icon name="chevron-right" size={14} />
            <span>{each}</span>
          </li>
        ))}
      </ul>
      {typed !== undefined && (
        <div class="field">
          <label for={id}>
            Type <code>{typed}</code> to confirm
          </label>
          <input id={id} class="input" autoComplete="off" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        </div>
      )}
    </FormDialog>
  );
}
