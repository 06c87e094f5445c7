// When one track fades into the next, for how long, and how. Pure.
//
// Music that belongs together is not faded: an album that is heard in its order runs on without a gap, as it was made.

import type { PlayerState } from "../wire/frames";

const CURVE_POINTS = 65;

/** Equal power: the squares of both add up to one all the way, so that the fade is as loud as what it joins. */
export const FADE_IN = curve((share) => Math.sin((share * Math.PI) / 2));
export const FADE_OUT = curve((share) => Math.cos((share * Math.PI) / 2));

function curve(at: (share: number) => number): Float32Array {
  return Float32Array.from({ length: CURVE_POINTS }, (_, point) => at(point / (CURVE_POINTS - 1)));
}

/** Seconds for which both sound where the listener wants `wantedS`; 0 where one follows the other to the sample. */
export function fadeBetween(wantedS: number, player: PlayerState, fromUid: string, toUid: string): number {
  // A timer that ends with the track wants it whole.
  if (wantedS <= 0 || player.sleep_timer?.end_of_track) return 0;
  const near = [player.track, ...player.next_tracks, ...player.prev_tracks];
  const pair = [fromUid, toUid].map((uid) => near.find((item) => item?.uid === uid));
  if (pair.some((item) => item?.is_speech)) return 0;
  const isAlbum = player.context_uri?.split(":")[1] === "album";
  const inOrder = isAlbum && !player.shuffle && pair.every((item) => item?.provider === "context");
  return inOrder ? 0 : wantedS;
}

/** No track gives more than half of itself to one fade. */
export function fadeWithin(wantedS: number, fromS: number, toS: number): number {
  return Math.min(wantedS, fromS / 2, toS / 2);
}
