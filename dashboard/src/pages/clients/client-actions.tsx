import { useMutation, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Client, ClientWithSeed } from "../../api/types.js";
import { Confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toasts.js";
import { SeedDialog } from "./seed-dialog.js";

export type ClientAction = "suspend" | "activate" | "rotate" | "delete";

interface Choice {
  kind: ClientAction;
  label: string;
  danger: boolean;
}

export function actionsFor(client: Client): Choice[] {
  const isSuspended = client.status === "suspended";
  return [
    { kind: "rotate", label: "Replace the key", danger: false },
    { kind: isSuspended ? "activate" : "suspend", label: isSuspended ? "Activate" : "Suspend", danger: false },
    { kind: "delete", label: "Delete", danger: true },
  ];
}

/** Explains an action, and does it when the person agrees. */
export function ClientActionDialog({
  client,
  action,
  onClose,
  onDeleted,
}: {
  client: Client;
  action: ClientAction;
  onClose: () => void;
  onDeleted?: () => void;
}) {
  const api = useApi();
  const queries = useQueryClient();
  const [seed, setSeed] = useState<ClientWithSeed>();
  const path = `/clients/${client.client_id}`;
  const refresh = (): void => {
    void queries.invalidateQueries({ queryKey: ["clients"] });
    void queries.invalidateQueries({ queryKey: ["client"] });
    void queries.invalidateQueries({ queryKey: ["client-status"] });
  };
  const setStatus = useMutation({
    mutationFn: (status: string) => api.put(path, { status }),
    onSuccess: refresh,
  });

  if (seed) return <SeedDialog created={seed} isNew={false} onClose={onClose} />;
  switch (action) {
    case "suspend":
      return (
        <Confirm
          title={`Suspend ${client.name}?`}
          submit="Suspend"
          consequences={[
            "Its connections end within a second.",
            "It cannot connect again until it is activated.",
            "Its key, its permissions and its place in the plan stay.",
          ]}
          onClose={onClose}
          onConfirm={() => setStatus.mutateAsync("suspended").then(() => toast(`${client.name} is suspended.`))}
        />
      );
    case "activate":
      return (
        <Confirm
          title={`Activate ${client.name}?`}
          submit="Activate"
          consequences={["It can connect again with the key that it has."]}
          onClose={onClose}
          onConfirm={() => setStatus.mutateAsync("active").then(() => toast(`${client.name} may connect again.`))}
        />
      );
    case "rotate":
      return (
        <Confirm
          title={`Replace the key of ${client.name}?`}
          submit="Replace the key"
          consequences={[
            "The new seed is shown once, next.",
            "Connections with the old key end within a second, and it is never accepted again.",
            "The program has to be given the new seed before it can connect.",
          ]}
          staysOpen
          onClose={onClose}
          onConfirm={async () => {
            setSeed(await api.post<ClientWithSeed>(`${path}/regenerate-nkey`));
            refresh();
          }}
        />
      );
    case "delete":
      return (
        <Confirm
          title={`Delete ${client.name}?`}
          submit="Delete the client"
          typed={client.name}
          consequences={[
            "Its connections end within a second.",
            "Its key is never accepted again; this cannot be undone.",
            "Its messages, its usage and its activity stay.",
          ]}
          onClose={onClose}
          onConfirm={async () => {
            await api.delete(path);
            refresh();
            toast(`${client.name} is deleted.`);
            onDeleted?.();
          }}
        />
      );
  }
}
