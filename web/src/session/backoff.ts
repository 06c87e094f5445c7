// When to connect again, and whether at all.

export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 30_000;
/** After this long without a fault the next one starts from the beginning again. */
export const STABLE_AFTER_MS = 60_000;

/** Full jitter: anywhere between nothing and the bound, which doubles with each attempt (0 is the first). */
export function backoffMs(attempt: number, random: () => number): number {
  const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(bound * random());
}

export type AfterClose = "reconnect" | "new_ticket" | "stop";

const UNAUTHORIZED = 4503;

/** 4000–4499 say "again", 4500 and up "something must change first"; every other code is the network's. */
export function afterClose(code: number): AfterClose {
  if (code === UNAUTHORIZED) return "new_ticket";
  return code >= 4500 && code <= 4999 ? "stop" : "reconnect";
}

/** What a listener is told when the page does not connect again by itself. */
export function stoppedText(code: number, reason: string): string {
  switch (code) {
    case 4500:
    case 4501:
    case 4502:
      return "This page and the server do not understand each other. Reload it to get the current one.";
    case UNAUTHORIZED:
      return "The server no longer accepts this login. Please sign in again.";
    case 4504:
      return "Segue was opened in another tab of this browser, and that tab is in charge now. Music here has stopped.";
    default:
      return `The server ended the connection${reason ? `: ${reason}` : ""}.`;
  }
}
