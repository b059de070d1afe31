import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { AccountKey, Member, SigningKey } from "../../api/types.js";
import { dateTime } from "../../app/format.js";
import { Card, Code, CopyButton, Note, saveAs } from "../../ui/basics.js";
import { Confirm, Dialog } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { usePages } from "../../ui/pages.js";
import { Listed } from "../../ui/more.js";
import { Empty } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";

/** Keys with which the organization issues NATS users of its own. */
export function SigningKeys() {
  const api = useApi();
  const queries = useQueryClient();
  const path = `/accounts/${api.tenantId}`;
  const list = usePages<SigningKey>(["signing-keys"], `${path}/signing-keys`, "signing_keys");
  const members = usePages<Member>(["members"], `${path}/members`, "members", { limit: 100 });
  const [isAsked, setAsked] = useState(false);
  const [issued, setIssued] = useState<AccountKey>();
  const [revoked, setRevoked] = useState<SigningKey>();
  const refresh = (): void => void queries.invalidateQueries({ queryKey: ["signing-keys"] });
  const issuer = (id: string): string => {
    const member = members.items?.find((each) => each.user_id === id);
    return member?.name || member?.email || id;
  };
  return (
    <>
      <Note>
        With a signing key the organization issues NATS users of its own, without asking this service. Clients with keys of
        their own do not need one.
      </Note>
      <Card
        title="Signing keys"
        actions={
          <button type="button" class="button small primary" onClick={() => setAsked(true)}>
            <Icon name="key-round" size={14} /> Issue a key
          </button>
        }
        flush
      >
        <Listed list={list} rows={2} empty={<Empty icon="key-round" title="No signing key" />}>
          {(items) => (
            <ul class="list">
              {items.map((each) => (
                <li key={each.nkey_public} class="row between wrap">
                  <span class="grow truncate">
                    <span class="mono">{each.nkey_public}</span>
                    <br />
                    <span class="faint small">
                      issued by {issuer(each.issued_by)}, {dateTime(each.issued_at)}
                    </span>
                  </span>
                  <button type="button" class="button small danger" onClick={() => setRevoked(each)}>
                    Revoke
                  </button>
                </li>
              ))}
            </ul>
          )}
        </Listed>
      </Card>
      {isAsked && (
        <Confirm
          title="Issue a signing key?"
          submit="Issue the key"
          consequences={[
            "The key before it is revoked at once, and the connections of the users that it signed end.",
            "Clients of this console stay connected.",
            "The key ends when you leave the organization, or are no admin any more.",
          ]}
          onClose={() => setAsked(false)}
          onConfirm={async () => {
            setIssued(await api.post<AccountKey>(`/accounts/generate-nkey/${api.tenantId}`));
            refresh();
          }}
        />
      )}
      {issued && (
        <Dialog title="The new signing key" wide onClose={() => setIssued(undefined)}>
          <div class="dialog-body">
            <Note tone="warn" icon="key-round">
              This seed is shown only now and stored nowhere. With it, anyone can act as any client of the organization.
            </Note>
            <Code text={issued.nkey_seed} label="Seed" />
            <div class="row wrap">
              <CopyButton text={issued.nkey_seed} label="Copy the seed" small={false} />
              <button
                type="button"
                class="button"
                onClick={() => saveAs("signing-key.seed", "text/plain", `${issued.nkey_seed}\n`)}
              >
                <Icon name="download" size={14} /> Download
              </button>
            </div>
          </div>
          <div class="dialog-foot">
            <button type="button" class="button primary" onClick={() => setIssued(undefined)}>
              I have kept the seed
            </button>
          </div>
        </Dialog>
      )}
      {revoked && (
        <Confirm
          title="Revoke this key?"
          submit="Revoke"
          consequences={["The connections of the users that it signed end within a second.", "It is never accepted again."]}
          onClose={() => setRevoked(undefined)}
          onConfirm={async () => {
            await api.delete(`${path}/signing-keys/${revoked.nkey_public}`);
            refresh();
            toast("The key is revoked.");
          }}
        />
      )}
    </>
  );
}
