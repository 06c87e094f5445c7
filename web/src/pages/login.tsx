// Signing in: a name, a password, and what was wrong with them.

import { useState } from "preact/hooks";
import { MustChangePassword } from "../session/failure";
import { signedIn } from "../session/store";
import { usePage } from "./context";
import { errorText } from "./words";

export function Login() {
  const { app } = usePage();
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const [mustChange, setMustChange] = useState(false);

  async function submit(form: HTMLFormElement): Promise<void> {
    const data = new FormData(form);
    setBusy(true);
    setWrong(null);
    try {
      const next = data.get("new_password");
      await app.rest.signIn(String(data.get("username")).trim(), String(data.get("password")), next === null ? undefined : String(next));
      signedIn.value = true;
    } catch (error) {
      if (error instanceof MustChangePassword) setMustChange(true);
      else setWrong(errorText(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <main class="login">
      <form
        class="card"
        aria-label="Sign in"
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        <p class="wordmark">Segue</p>
        <h1>Your music, on whichever device is nearest.</h1>
        <label>
          User name
          <input name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        {mustChange && (
          <label>
            That password was for one time. Choose a new one
            <input name="new_password" type="password" autocomplete="new-password" minLength={8} required autofocus />
          </label>
        )}
        <p class="wrong" role="alert">
          {wrong}
        </p>
        <button type="submit" class="primary wide" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
