import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { isSignedIn, resume, session } from "../api/session.js";
import { useStore } from "../api/store.js";
import { Gate } from "../pages/sign-in/gate.js";
import { SignIn } from "../pages/sign-in/sign-in.js";
import { Note } from "../ui/basics.js";
import { Toasts } from "../ui/toasts.js";

const IDLE_MS = 500;
const loadSignedIn = (): Promise<typeof import("./signed-in.js")> => import("./signed-in.js");

/** The page: the sign-in, or the console of the person who is signed in. */
export function App() {
  const current = useStore(session);
  const isResuming = !isSignedIn(current) && current.reason === "resuming";
  useEffect(() => {
    if (isResuming) void resume();
    // The sign-in is there first; the rest is loaded while the person types.
    setTimeout(() => void loadSignedIn().catch(() => undefined), isResuming ? 0 : IDLE_MS);
  }, []);
  if (isResuming) return null;
  return (
    <>
      {isSignedIn(current) ? <Console key={current.userId} /> : <SignIn reason={current.reason} />}
      <Toasts />
    </>
  );
}

function Console() {
  const [SignedIn, setSignedIn] = useState<FunctionComponent>();
  const [hasFailed, setFailed] = useState(false);
  useEffect(() => {
    loadSignedIn()
      .then((module) => setSignedIn(() => module.SignedIn))
      .catch(() => setFailed(true));
  }, []);
  if (SignedIn) return <SignedIn />;
  if (!hasFailed) return null;
  return (
    <Gate title="The page has changed">
      <Note tone="warn">A part of the page could not be loaded: its version may have changed.</Note>
      <button type="button" class="button primary" onClick={() => location.reload()}>
        Load it again
      </button>
    </Gate>
  );
}
