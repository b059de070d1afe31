import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { ClientWithSeed, Permissions } from "../../api/types.js";
import { FormDialog } from "../../ui/dialog.js";
import { TextField } from "../../ui/forms.js";
import { PermissionFields, cleaned } from "./permission-fields.js";
import { SeedDialog } from "./seed-dialog.js";

const DEFAULT: Permissions = { publish: [">"], subscribe: [">"], streams: "read" };

export function CreateClient({ onClose }: { onClose: () => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [permissions, setPermissions] = useState(DEFAULT);
  const [created, setCreated] = useState<ClientWithSeed>();
  // A second attempt after a lost answer gives the same client and seed.
  const [key] = useState(() => crypto.randomUUID());
  if (created) return <SeedDialog created={created} isNew onClose={onClose} />;
  return (
    <FormDialog
      title="New client"
      submit="Create"
      canSubmit={name.trim() !== ""}
      onClose={onClose}
      onSubmit={async () => {
        setCreated(await api.post<ClientWithSeed>("/clients", { name: name.trim(), permissions: cleaned(permissions) }, key));
        void queries.invalidateQueries({ queryKey: ["clients"] });
        void queries.invalidateQueries({ queryKey: ["roster"] });
      }}
    >
      <TextField
        label="Name"
        required
        autoFocus
        maxLength={100}
        value={name}
        onChange={setName}
        hint="How people recognize it, such as “planner” or “scraper 3”."
      />
      <PermissionFields value={permissions} onChange={setPermissions} />
    </FormDialog>
  );
}
