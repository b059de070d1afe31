import { useState } from "preact/hooks";
import type { Organization, ReceivedInvitation } from "../../api/types.js";
import { Note } from "../../ui/basics.js";
import { messageOf } from "../../ui/states.js";
import { callAsPerson } from "./call-as-person.js";

/** The invitations for the person, who accepts or declines them. */
export function Invitations({
  invitations,
  onAccepted,
  onDeclined,
}: {
  invitations: ReceivedInvitation[];
  onAccepted: (organization: Organization) => void;
  onDeclined: () => void;
}) {
  const [error, setError] = useState<unknown>();
  const answer = (id: string, verb: "accept" | "decline"): void => {
    setError(undefined);
    callAsPerson<Organization>("POST", `/invitations/${id}/${verb}`, {})
      .then((result) => (verb === "accept" ? onAccepted(result) : onDeclined()))
      .catch(setError);
  };
  return (
    <>
      {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
      {invitations.map((each) => (
        <Note key={each.invitation_id} icon="users">
          <div class="stack tight">
            <span>
              {each.invited_by_name || "A member"} invites you to <strong>{each.account_name}</strong> as {each.role}.
            </span>
            <span class="row">
              <button type="button" class="button small primary" onClick={() => answer(each.invitation_id, "accept")}>
                Accept
              </button>
              <button type="button" class="button small" onClick={() => answer(each.invitation_id, "decline")}>
                Decline
              </button>
            </span>
          </div>
        </Note>
      ))}
    </>
  );
}
