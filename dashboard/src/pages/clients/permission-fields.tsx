import type { Permissions, StreamAccess } from "../../api/types.js";
import { Select, TextArea } from "../../ui/forms.js";

const STREAMS = [
  { value: "none", label: "none" },
  { value: "read", label: "read what it may subscribe to" },
  { value: "manage", label: "keep streams of its own" },
];

/** Patterns, one a line, and the access to streams. */
export function PermissionFields({
  value,
  onChange,
}: {
  value: Permissions;
  onChange: (value: Permissions) => void;
}) {
  return (
    <>
      <TextArea
        label="May publish to"
        rows={3}
        value={value.publish.join("\n")}
        onChange={(text) => onChange({ ...value, publish: lines(text) })}
        hint="One pattern a line: orders.new, orders.*, orders.>. A single > is everything of the organization."
      />
      <TextArea
        label="May subscribe to"
        rows={3}
        value={value.subscribe.join("\n")}
        onChange={(text) => onChange({ ...value, subscribe: lines(text) })}
      />
      <Select
        label="Streams (JetStream)"
        value={value.streams}
        options={STREAMS}
        onChange={(streams) => onChange({ ...value, streams: streams as StreamAccess })}
      />
    </>
  );
}

// An empty last line is one that the person is about to write.
function lines(text: string): string[] {
  return text === "" ? [] : text.split("\n");
}

/** The permissions without empty lines, as they are sent. */
export function cleaned(value: Permissions): Permissions {
  const clean = (list: string[]): string[] => list.map((each) => each.trim()).filter(Boolean);
  return { ...value, publish: clean(value.publish), subscribe: clean(value.subscribe) };
}
