import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import iconUrl from "../../icon.svg";

/** The frame of what is shown before an organization is. */
export function Gate({ title, children }: { title: string; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · ArtCafe PubSub`;
  }, [title]);
  return (
    <main class="gate">
      <div class="gate-card stack">
        <div class="brand" style={{ marginBlockEnd: 0 }}>
          <img src={iconUrl} alt="" />
          ArtCafe PubSub
        </div>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}
