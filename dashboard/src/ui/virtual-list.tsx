import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

const EXTRA_ROWS = 6;

/** A list of rows of equal height, of which only those in view are drawn. */
export function VirtualList({
  count,
  rowHeight,
  label,
  row,
}: {
  count: number;
  rowHeight: number;
  label: string;
  row: (index: number) => ComponentChildren;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const update = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    update();
    const observer = new ResizeObserver(update);
    observer.observe(element);
    element.addEventListener("scroll", update, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", update);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - EXTRA_ROWS);
  const end = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + EXTRA_ROWS);
  const rows = [];
  for (let index = first; index < end; index++) {
    rows.push(
      <div
        key={index - first}
        class="virtual-row"
        role="listitem"
        aria-setsize={count}
        aria-posinset={index + 1}
        style={{ insetBlockStart: `${index * rowHeight}px` }}
      >
        {row(index)}
      </div>,
    );
  }
  return (
    <div ref={box} class="virtual" role="region" aria-label={label} tabIndex={0}>
      <div class="virtual-space" role="list" style={{ blockSize: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}
