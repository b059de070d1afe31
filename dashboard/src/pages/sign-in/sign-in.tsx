import { useState } from "preact/hooks";
import { Problem } from "../../api/rest.js";
import { signIn, type SignedOut } from "../../api/session.js";
import { Note } from "../../ui/basics.js";
import { TextField } from "../../ui/forms.js";
import { messageOf } from "../../ui/states.js";
import { Gate } from "./gate.js";

const REASONS = {
  "": "",
  resuming: "",
  expired: "Your session has ended. Sign in again to continue where you were.",
  signed_out: "You are signed out.",
};
const TITLES = { "": "Sign in", new_password: "Choose a new password", code: "Enter the code" };
type Step = keyof typeof TITLES;

export function SignIn({ reason }: SignedOut) {
  const [step, setStep] = useState<Step>("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [newPassword, setNewPassword] = useState("");
  const [code, setCode] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);

  const fail = (failure: unknown): void => {
    const next = challengeOf(failure);
    if (!next) {
      setError(failure);
      return;
    }
    // What is asked for after a new password was accepted needs that one.
    if (step === "new_password") setPassword(newPassword);
    setStep(next);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    const credentials = {
      email: email.trim(),
      password,
      ...(step === "new_password" && { new_password: newPassword }),
      ...(step === "code" && { code: code.trim() }),
    };
    signIn(credentials)
      .catch(fail)
      .finally(() => setBusy(false));
  };
  const startOver = (): void => {
    setStep("");
    setError(undefined);
    setPassword("");
    setNewPassword("");
    setCode("");
  };
  return (
    <Gate title={TITLES[step]}>
      {REASONS[reason] && error === undefined && step === "" && <Note>{REASONS[reason]}</Note>}
      {error !== undefined && <Note tone="bad">{explain(error)}</Note>}
      <form key={step} class="stack" onSubmit={submit}>
        {step === "" && (
          <>
            <TextField
              label="E-mail address"
              type="email"
              autoComplete="username"
              required
              autoFocus
              value={email}
              onChange={setEmail}
            />
            <TextField
              label="Password"
              type="password"
              autoComplete="current-password"
              required
              value={password}
              onChange={setPassword}
            />
          </>
        )}
        {step === "new_password" && (
          <TextField
            label="New password"
            type="password"
            autoComplete="new-password"
            required
            autoFocus
            value={newPassword}
            onChange={setNewPassword}
            hint="Your first password was a temporary one."
          />
        )}
        {step === "code" && (
          <TextField
            label="Code"
            inputMode="numeric"
            autoComplete="one-time-code"
            required
            autoFocus
            value={code}
            onChange={setCode}
            hint="The one that your authenticator shows now."
          />
        )}
        <button type="submit" class="button primary" disabled={isBusy}>
          {isBusy ? "Signing in…" : step === "" ? "Sign in" : "Continue"}
        </button>
        {step !== "" && (
          <button type="button" class="button quiet" onClick={startOver}>
            Start over
          </button>
        )}
      </form>
    </Gate>
  );
}

/** What the identity provider asks for, if this page can answer it. */
function challengeOf(error: unknown): Step | undefined {
  if (!(error instanceof Problem) || error.code !== "login_challenge_required") return undefined;
  const field = error.fields[0]?.field;
  return field === "new_password" || field === "code" ? field : undefined;
}

function explain(error: unknown): string {
  if (error instanceof Problem && error.code === "rate_limited") {
    return `Too many attempts. Try again in ${error.retryAfterS || 60} seconds.`;
  }
  return messageOf(error);
}
