// Publishing as a client: over its own WebSocket, by the TypeScript SDK, with a seed that stays in this page's memory.

import type { Client as SdkClient } from "@artcafe/client";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { usePages } from "../../ui/pages.js";
import type { Client, Json } from "../../api/types.js";
import { Note } from "../../ui/basics.js";
import { Select, TextField } from "../../ui/forms.js";
import { messageOf } from "../../ui/states.js";

export interface ActingClient {
  isReady: boolean;
  form: ComponentChildren;
  publish: (subject: string, data: Json) => Promise<string>;
}

export function useActingClient(): ActingClient {
  const clients = usePages<Client>(["clients"], "/clients", "clients", { limit: 100 });
  const [chosen, setChosen] = useState("");
  const [seed, setSeed] = useState("");
  const [connected, setConnected] = useState<{ client: SdkClient; name: string }>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const clientId = chosen || (clients.items?.[0]?.client_id ?? "");

  useEffect(() => () => void connected?.client.close(), [connected]);

  const open = async (): Promise<void> => {
    // Only who acts as a client loads the SDK.
    const { connect } = await import("@artcafe/client");
    const client = await connect({ url: `${location.origin}/api/v1`, clientId, seed: seed.trim() });
    setSeed("");
    setConnected({ client, name: clients.items?.find((each) => each.client_id === clientId)?.name ?? clientId });
  };
  const form = connected ? (
    <Note tone="ok">
      <div class="row between wrap">
        Connected as {connected.name}.
        <button type="button" class="button small" onClick={() => setConnected(undefined)}>
          Disconnect
        </button>
      </div>
    </Note>
  ) : (
    <div class="stack">
      <Note>
        People publish to channels. On any other subject a client publishes, with its permissions: give the seed of one.
        It is used here only, and never sent.
      </Note>
      <Select
        label="Client"
        value={clientId}
        options={(clients.items ?? []).map((each) => ({ value: each.client_id, label: each.name }))}
        onChange={setChosen}
      />
      <TextField label="Its seed" type="password" autoComplete="off" placeholder="SU…" value={seed} onChange={setSeed} />
      {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
      <div>
        <button
          type="button"
          class="button"
          disabled={isBusy || !seed.trim() || !clientId}
          onClick={() => {
            setBusy(true);
            setError(undefined);
            open()
              .catch(setError)
              .finally(() => setBusy(false));
          }}
        >
          {isBusy ? "Connecting…" : "Connect"}
        </button>
      </div>
    </div>
  );
  return {
    isReady: connected !== undefined,
    form,
    publish: async (subject, data) => {
      await connected?.client.publish(subject, data);
      return "Published.";
    },
  };
}
