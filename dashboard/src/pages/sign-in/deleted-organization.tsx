import { useState } from "preact/hooks";
import type { Account } from "../../api/types.js";
import { dateTime } from "../../app/format.js";
import { Note } from "../../ui/basics.js";
import { messageOf } from "../../ui/states.js";
import { callAsPerson } from "./call-as-person.js";

/** A deleted organization, which an owner can restore for a while. */
export function DeletedOrganization({ account, onRestored }: { account: Account; onRestored: (account: Account) => void }) {
  const [error, setError] = useState<unknown>();
  const restore = (): void => {
    setError(undefined);
    callAsPerson<Account>("POST", `/accounts/${account.account_id}/restore`).then(onRestored).catch(setError);
  };
  return (
    <Note tone="warn">
      <div class="stack tight">
        <span>
          <strong>{account.name}</strong> is deleted.{" "}
          {account.deletion_at && `Everything in it is gone on ${dateTime(account.deletion_at)}.`}
        </span>
        {account.role === "owner" && (
          <span>
            <button type="button" class="button small" onClick={restore}>
              Restore
            </button>
          </span>
        )}
        {error !== undefined && <span>{messageOf(error)}</span>}
      </div>
    </Note>
  );
}
