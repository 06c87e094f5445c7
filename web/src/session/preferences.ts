// How this browser plays: chosen once, kept in its local storage.

import { signal } from "@preact/signals";

const QUALITY_KEY = "segue.bitrate_kbps_max";
const NORMALISE_KEY = "segue.normalise";
const CROSSFADE_KEY = "segue.crossfade_s";

export const CROSSFADE_S_MAX = 12;

export interface Quality {
  readonly bitrateKbpsMax: number;
  readonly name: string;
  readonly text: string;
}

export const QUALITIES: readonly [Quality, ...Quality[]] = [
  { bitrateKbpsMax: 10_000, name: "Best", text: "whatever the connection carries" },
  { bitrateKbpsMax: 160, name: "Normal", text: "up to 160 kbit/s" },
  { bitrateKbpsMax: 96, name: "Sparing", text: "up to 96 kbit/s, for a metered connection" },
];

export const bitrateKbpsMax = signal(keptQuality());
/** Tracks are made equally loud. */
export const normalise = signal(localStorage.getItem(NORMALISE_KEY) !== "off");

/** Seconds for which one track fades into the next; 0 plays on without a gap. */
export const crossfadeS = signal(keptCrossfade());

export function setCrossfade(seconds: number): void {
  crossfadeS.value = seconds;
  localStorage.setItem(CROSSFADE_KEY, String(seconds));
}

export function setQuality(kbps: number): void {
  bitrateKbpsMax.value = kbps;
  localStorage.setItem(QUALITY_KEY, String(kbps));
}

export function setNormalise(on: boolean): void {
  normalise.value = on;
  localStorage.setItem(NORMALISE_KEY, on ? "on" : "off");
}

function keptQuality(): number {
  const kept = Number(localStorage.getItem(QUALITY_KEY));
  return (QUALITIES.find((one) => one.bitrateKbpsMax === kept) ?? QUALITIES[0]).bitrateKbpsMax;
}

function keptCrossfade(): number {
  const kept = Number(localStorage.getItem(CROSSFADE_KEY));
  return kept >= 0 && kept <= CROSSFADE_S_MAX ? kept : 0;
}
