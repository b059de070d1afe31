import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface MenuItem {
  label: ComponentChildren;
  danger?: boolean;
  isCurrent?: boolean;
  onSelect: () => void;
}

const GAP_PX = 4;

/** A button that opens a list of actions. Arrow keys move in it, Escape closes it. */
export function Menu({
  label,
  button,
  buttonClass,
  items,
  isWide = false,
}: {
  /** Names the menu where its button has no text. */
  label?: string;
  button: ComponentChildren;
  buttonClass: string;
  items: MenuItem[];
  /** As wide as its button. */
  isWide?: boolean;
}) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();

  useLayoutEffect(() => {
    if (isOpen && opener.current && list.current) place(list.current, opener.current, isWide);
  }, [isOpen]);
  useEffect(() => {
    if (!isOpen) return;
    list.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus({ preventScroll: true });
    const closeOutside = (event: Event): void => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    const close = (): void => setOpen(false);
    document.addEventListener("pointerdown", closeOutside);
    document.addEventListener("scroll", closeOutside, { capture: true });
    addEventListener("resize", close);
    return () => {
      document.removeEventListener("pointerdown", closeOutside);
      document.removeEventListener("scroll", closeOutside, { capture: true });
      removeEventListener("resize", close);
    };
  }, [isOpen]);

  const close = (): void => {
    setOpen(false);
    opener.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!isOpen) return;
    const all = [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Tab") {
      setOpen(false);
      return;
    }
    if (event.key === "Escape") close();
    else if (to !== undefined) all[(to + all.length) % all.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div ref={root} class="menu" onKeyDown={onKeyDown}>
      <button
        ref={opener}
        type="button"
        class={buttonClass}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        {button}
      </button>
      {isOpen && (
        <div ref={list} id={id} role="menu" class="menu-items">
          {items.map((item, i) => (
            <button
              key={i}
              type="button"
              role="menuitem"
              tabIndex={-1}
              class={item.danger ? "danger" : ""}
              aria-current={item.isCurrent ? "true" : undefined}
              onClick={() => {
                close();
                item.onSelect();
              }}
            >
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Below its button, or above it near the end of the window; a box that scrolls does not cut it off. */
function place(list: HTMLElement, opener: HTMLElement, isWide: boolean): void {
  const button = opener.getBoundingClientRect();
  const isRightToLeft = getComputedStyle(opener).direction === "rtl";
  if (isWide) list.style.width = `${button.width}px`;
  if (isWide || isRightToLeft) list.style.left = `${button.left}px`;
  else list.style.right = `${document.documentElement.clientWidth - button.right}px`;
  const isBelow = button.bottom + GAP_PX + list.offsetHeight <= innerHeight;
  list.style.top = `${isBelow ? button.bottom + GAP_PX : Math.max(GAP_PX, button.top - GAP_PX - list.offsetHeight)}px`;
}
