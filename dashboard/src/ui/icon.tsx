import { ICONS, type IconName } from "./icon-paths.js";

export type { IconName };

/** A picture beside a text that says the same; screen readers skip it. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      {ICONS[name].split("|").map((d) => (
        <path key={d} d={d} />
      ))}
    </svg>
  );
}
