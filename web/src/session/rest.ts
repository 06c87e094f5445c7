// The few things the page asks by HTTP: who is logged in, where to connect, and the library.
//
// The login is a cookie that no script can read. With it the page gets access tokens, which it keeps in memory and asks
// for anew when one is refused; what plays meanwhile is not touched by that.

import type { Limits } from "../wire/frames";
import { MustChangePassword, RestError } from "./failure";

export interface Connect {
  url: string;
  ticket: string;
  expires_in: number;
  subprotocols: readonly string[];
  owner_epoch: number;
  limits: Limits;
}

/** Only a hint, so that the page need not ask before it shows itself: the cookie is what counts. */
const SIGNED_IN_KEY = "segue.signed_in";
const TIMEOUT_MS = 10_000;
const MUST_CHANGE = "PASSWORD_MUST_CHANGE";

interface ErrorAnswer {
  error?: { message?: string; reason?: string };
}

export class Rest {
  private token: string | null = null;
  private refreshing: Promise<string> | null = null;
  /** Called when the server says that the login no longer counts. */
  onSignedOut: () => void = () => undefined;

  constructor() {
    // Signed out in one tab is signed out in all of them.
    addEventListener("storage", (event) => {
      if (event.key === SIGNED_IN_KEY && event.newValue === null) this.forget();
    });
  }

  get signedIn(): boolean {
    return localStorage.getItem(SIGNED_IN_KEY) !== null;
  }

  /** Rejects with MustChangePassword when the password was for one time and no new one was given. */
  async signIn(username: string, password: string, newPassword?: string): Promise<void> {
    const response = await this.fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username, password, ...(newPassword !== undefined && { new_password: newPassword }) }),
    });
    if (!response.ok) {
      const { error } = (await response.json().catch(() => ({}))) as ErrorAnswer;
      const wait = retryAfterMs(response);
      if (error?.reason === MUST_CHANGE) throw new MustChangePassword();
      if (response.status === 429) {
        throw new RestError(429, `Too many attempts. Try again in ${Math.ceil((wait ?? 30_000) / 1000)} s.`, wait);
      }
      const text =
        response.status === 401
          ? "That user name and password do not go together."
          : (error?.message ?? `The server answered with status ${response.status}.`);
      throw new RestError(response.status, text, wait);
    }
    this.token = ((await response.json()) as { access_token: string }).access_token;
    localStorage.setItem(SIGNED_IN_KEY, "1");
  }

  /** Here. Without a network the cookie stays, but the page no longer uses it. */
  async signOut(): Promise<void> {
    await this.fetch("/logout", { method: "POST" }).catch(() => undefined);
    this.forget();
  }

  /** All tokens, cookies and sockets of this listener. */
  async signOutEverywhere(): Promise<void> {
    await this.change("POST", "/v1/me/logout-everywhere");
    this.forget();
  }

  connect(): Promise<Connect> {
    return this.get<Connect>("/v1/connect");
  }

  async get<T>(path: string): Promise<T> {
    return (await (await this.request(path, {})).json()) as T;
  }

  /** For requests whose answer is that it was done. */
  async change(method: "PUT" | "POST" | "DELETE", path: string, body?: object): Promise<void> {
    await this.request(path, { method, ...(body && { body: JSON.stringify(body) }) });
  }

  private async request(path: string, init: RequestInit): Promise<Response> {
    let response = await this.authorized(path, init, this.token ?? (await this.refresh()));
    if (response.status === 401) response = await this.authorized(path, init, await this.refresh());
    if (response.ok) return response;
    if (response.status === 401) this.forget();
    const { error } = (await response.json().catch(() => ({}))) as ErrorAnswer;
    throw new RestError(response.status, error?.message ?? `the server answered with status ${response.status}`, retryAfterMs(response));
  }

  private authorized(path: string, init: RequestInit, token: string): Promise<Response> {
    const headers = { Authorization: `Bearer ${token}`, ...(init.body ? { "Content-Type": "application/json" } : {}) };
    return this.fetch(path, { ...init, headers });
  }

  /** A new token for the cookie; several that ask in one moment wait for the same. */
  private refresh(): Promise<string> {
    this.refreshing ??= this.newToken().finally(() => (this.refreshing = null));
    return this.refreshing;
  }

  private async newToken(): Promise<string> {
    const response = await this.fetch("/session/token", { method: "POST" });
    if (!response.ok) {
      if (response.status === 401) this.forget();
      throw new RestError(response.status, "The server no longer accepts this login", retryAfterMs(response));
    }
    const { access_token } = (await response.json()) as { access_token: string };
    this.token = access_token;
    return access_token;
  }

  private forget(): void {
    this.token = null;
    localStorage.removeItem(SIGNED_IN_KEY);
    this.onSignedOut();
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch {
      throw new RestError(0, "The server cannot be reached.", null);
    }
  }
}

function retryAfterMs(response: Response): number | null {
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 60) * 1000 : null;
}
