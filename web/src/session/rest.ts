// The few things the page asks by HTTP: a token, where to connect, and the library.

import type { Limits } from "../wire/frames";
import { RestError } from "./failure";

export interface Connect {
  url: string;
  ticket: string;
  expires_in: number;
  subprotocols: readonly string[];
  owner_epoch: number;
  limits: Limits;
}

const TOKEN_KEY = "segue.token";
const TIMEOUT_MS = 10_000;

export class Rest {
  private token = localStorage.getItem(TOKEN_KEY);
  /** Called when the server says that the token no longer counts. */
  onSignedOut: () => void = () => undefined;

  get signedIn(): boolean {
    return this.token !== null;
  }

  async signIn(username: string, password: string): Promise<void> {
    const response = await this.fetch("/api/token", {
      method: "POST",
      body: new URLSearchParams({ grant_type: "password", username, password }),
    });
    if (!response.ok) {
      const body = (await response.json().catch(() => ({}))) as { error?: string; error_description?: string };
      const wait = retryAfterMs(response);
      if (response.status === 429) {
        throw new RestError(429, `Too many attempts. Try again in ${Math.ceil((wait ?? 30_000) / 1000)} s.`, wait);
      }
      const wrong = body.error === "invalid_grant" || response.status === 401;
      const text = wrong
        ? "That user name and password do not go together."
        : (body.error_description ?? `The server answered with status ${response.status}.`);
      throw new RestError(response.status, text, wait);
    }
    const { access_token } = (await response.json()) as { access_token: string };
    this.token = access_token;
    localStorage.setItem(TOKEN_KEY, access_token);
  }

  signOut(): void {
    this.token = null;
    localStorage.removeItem(TOKEN_KEY);
    this.onSignedOut();
  }

  connect(): Promise<Connect> {
    return this.get<Connect>("/v1/connect");
  }

  async get<T>(path: string): Promise<T> {
    const token = this.token;
    const response = await this.fetch(path, { headers: { Authorization: `Bearer ${token ?? ""}` } });
    if (response.ok) return (await response.json()) as T;
    // Only the token that was refused ends the login, not one that came in the meantime.
    if (response.status === 401 && this.token === token) this.signOut();
    const body = (await response.json().catch(() => ({}))) as { error?: { message?: string } };
    const text = body.error?.message ?? `the server answered with status ${response.status}`;
    throw new RestError(response.status, text, retryAfterMs(response));
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
