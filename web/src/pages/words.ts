// Codes and states in a listener's words.

import type { HandoffResult } from "../wire/frames";
import { CommandFailed, RestError } from "../session/failure";

const BY_CODE: Readonly<Record<string, string>> = {
  RATE_LIMITED: "That was too fast for the server. Try again in a moment.",
  BUSY: "The server is busy. Try again in a moment.",
  TIMEOUT: "The server did not answer in time.",
  STORE_UNAVAILABLE: "The server cannot save right now, so nothing was changed.",
  FORBIDDEN: "This login is not allowed to do that.",
  NOT_FOUND: "That is not there any more.",
  STALE_ITEM: "Another track is playing by now.",
  STALE_EPOCH: "Playback has moved to another device in the meantime.",
  QUEUE_VERSION_CONFLICT: "The queue was changed on another device. Have another look.",
  QUEUE_FULL: "The queue is full.",
  NO_ACTIVE_DEVICE: "Nothing is playing anywhere. Choose a device first.",
  DEVICE_UNAVAILABLE: "That device cannot be reached.",
  HANDOFF_IN_PROGRESS: "A handover is already under way.",
  NOT_PLAYABLE: "That cannot be played with this account.",
  PREMIUM_REQUIRED: "That needs a premium account.",
  GOING_AWAY: "The connection ended before the server could answer.",
  INTERNAL: "Something went wrong in the server.",
};

const BY_HANDOFF_REASON: Readonly<Record<string, string>> = {
  deadline: "the other device was not ready in time",
  target_lost: "the other device lost its connection",
  target_refused: "the other device would not take over",
  needs_gesture: "the other device has to be tapped once before it may play",
  both_lost: "both devices lost their connection",
  target_silent: "the other device has not made a sound yet",
  source_lost: "this music's device lost its connection",
  superseded: "another handover came first",
  stopped: "playback was stopped",
  store: "the server could not save it",
};

const BY_REASON: Readonly<Record<string, string>> = {
  no_previous_tracks: "there is nothing before this track",
  no_next_tracks: "there is nothing after this track",
  nothing_playing: "nothing is playing",
  nothing_playable: "nothing here can be played",
  not_speech: "only speech can be played faster",
  nothing_to_undo: "there is nothing to undo",
  no_parked_queue: "there is no earlier queue",
  already_playing: "it is playing already",
  already_paused: "it is paused already",
  not_playing: "nothing is playing",
  autoplay: "the radio chooses what comes now",
  offline: "not reachable",
  not_a_player: "remote control only",
  no_common_codec: "cannot decode this server's music",
  not_controllable: "cannot be controlled from here",
  handoff_in_progress: "a handover is under way",
};

export function reasonText(reason: string): string {
  return BY_REASON[reason] ?? BY_HANDOFF_REASON[reason] ?? reason.replaceAll("_", " ");
}

export function errorText(error: unknown): string {
  if (error instanceof CommandFailed) {
    if (error.code === "DISALLOWED") {
      const reasons = error.details["reasons"];
      const first: unknown = Array.isArray(reasons) ? reasons[0] : undefined;
      return typeof first === "string" ? `Not now: ${reasonText(first)}.` : "That is not possible right now.";
    }
    if (error.code === "HANDOFF_FAILED") {
      const reason = error.details["reason"];
      // A refusal carries the device's own word in its message.
      const known = error.message.includes("needs_gesture") ? "needs_gesture" : reason;
      const why = typeof known === "string" ? `: ${reasonText(known)}` : "";
      return `The handover did not work${why}. The music goes on where it was.`;
    }
    return BY_CODE[error.code] ?? capital(`${error.message}.`);
  }
  if (error instanceof RestError) return error.status === 0 ? error.message : capital(`${error.message}.`);
  return "Something went wrong in this page.";
}

/** "3.1 ms gap", "2.0 ms overlap". */
export function gapText(handoff: HandoffResult): string | null {
  const gap = handoff.gap_ms;
  if (gap === null || gap === undefined) return null;
  const rounded = Math.abs(gap) < 10 ? Math.abs(gap).toFixed(1) : String(Math.round(Math.abs(gap)));
  return gap < 0 && Number(rounded) > 0 ? `${rounded} ms overlap` : `${rounded} ms gap`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.\.$/, ".");
}
