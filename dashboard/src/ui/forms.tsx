import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon.js";

type InputProps = Omit<JSX.IntrinsicElements["input"], "id" | "onInput" | "onChange" | "value" | "label">;

export function TextField({
  label,
  value,
  onChange,
  hint,
  problem,
  ...rest
}: InputProps & {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: ComponentChildren;
  problem?: string | undefined;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        {...rest}
        id={id}
        class="input"
        value={value}
        aria-invalid={problem ? true : undefined}
        aria-describedby={hint || problem ? `${id}-hint` : undefined}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
      {(hint || problem) && (
        <span id={`${id}-hint`} class={problem ? "problem" : "hint"}>
          {problem ?? hint}
        </span>
      )}
    </div>
  );
}

export function TextArea({
  label,
  value,
  onChange,
  hint,
  problem,
  rows = 4,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: ComponentChildren;
  problem?: string | undefined;
  rows?: number;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        class="textarea"
        rows={rows}
        spellcheck={false}
        value={value}
        aria-invalid={problem ? true : undefined}
        aria-describedby={hint || problem ? `${id}-hint` : undefined}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
      {(hint || problem) && (
        <span id={`${id}-hint`} class={problem ? "problem" : "hint"}>
          {problem ?? hint}
        </span>
      )}
    </div>
  );
}

export interface Option {
  value: string;
  label: string;
}

export function Select({
  label,
  value,
  options,
  onChange,
  hideLabel = false,
}: {
  label: string;
  value: string;
  options: Option[];
  onChange: (value: string) => void;
  hideLabel?: boolean;
}) {
  const id = useId();
  return (
    <div class={hideLabel ? "" : "field"}>
      <label for={id} class={hideLabel ? "visually-hidden" : ""}>
        {label}
      </label>
      <select id={id} class="select" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}

/** A choice of a few, of which one is selected. */
export function Segments({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string;
  options: Option[];
  onChange: (value: string) => void;
}) {
  const name = useId();
  return (
    <div class="segments" role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </div>
  );
}

export function Search({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}) {
  return (
    <div class="search">
      <Icon name="search" />
      <input
        type="search"
        class="input"
        aria-label={label}
        placeholder={label}
        value={value}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </div>
  );
}
