// What this browser, or this tab of it, is called and how loud it is: made once, kept in its local storage.

import { signal } from "@preact/signals";
import type { DeviceInfo } from "../wire/frames";
import { bitrateKbpsMax } from "./preferences";

const ID_KEY = "segue.device_id";
const NAME_KEY = "segue.device_name";
const VOLUME_KEY = "segue.volume_percent";
const NAME_MAX = 64;
const BUFFER_MS = 30_000;

/** Set before anything connects, and not changed after that. */
export let deviceId = "";
export const deviceName = signal("");
let nameKey = NAME_KEY;
export const volumePercent = signal(clampPercent(Number(kept(VOLUME_KEY, () => "70"))));
export const muted = signal(false);

/** `place`: 1 for the first tab of this browser, which is the browser itself (tab.ts). */
export function becomeTab(place: number): void {
  const own = (key: string): string => (place === 1 ? key : `${key}.${place}`);
  nameKey = own(NAME_KEY);
  deviceId = kept(own(ID_KEY), () => `web-${randomId(16)}`);
  deviceName.value = kept(nameKey, () => nameOf(navigator.userAgent) + (place === 1 ? "" : `, tab ${place}`));
}

export function rename(name: string): void {
  const trimmed = name.trim().slice(0, NAME_MAX);
  if (trimmed === "") return;
  deviceName.value = trimmed;
  localStorage.setItem(nameKey, trimmed);
}

export function setOwnVolume(percent: number, isMuted: boolean): void {
  volumePercent.value = clampPercent(percent);
  muted.value = isMuted;
  localStorage.setItem(VOLUME_KEY, String(volumePercent.value));
}

export function deviceInfo(): DeviceInfo {
  return {
    device_id: deviceId,
    name: deviceName.value,
    type: "web",
    capabilities: {
      can_be_player: canPlay(),
      is_controllable: true,
      supports_prepare: true,
      gapless: true,
      volume_steps: 100,
      codecs: ["aac"],
      bitrate_kbps_max: bitrateKbpsMax.value,
      buffer_ms: BUFFER_MS,
    },
    volume_percent: volumePercent.value,
    muted: muted.value,
  };
}

/** Without a media source that takes AAC the page is a remote. */
export function canPlay(): boolean {
  return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported('audio/mp4; codecs="mp4a.40.2"');
}

/** "Chrome on Linux": what a listener would call it. */
export function nameOf(userAgent: string): string {
  const browsers: [RegExp, string][] = [
    [/Edg\//, "Edge"],
    [/OPR\//, "Opera"],
    [/Firefox\//, "Firefox"],
    [/Chrom(e|ium)\//, "Chrome"],
    [/Safari\//, "Safari"],
  ];
  const systems: [RegExp, string][] = [
    [/iPhone/, "iPhone"],
    [/iPad/, "iPad"],
    [/Android/, "Android"],
    [/Windows/, "Windows"],
    [/Mac OS X/, "Mac"],
    [/CrOS/, "ChromeOS"],
    [/Linux/, "Linux"],
  ];
  const match = (table: [RegExp, string][]) => table.find(([pattern]) => pattern.test(userAgent))?.[1];
  const browser = match(browsers) ?? "Browser";
  const system = match(systems);
  return system === undefined ? browser : `${browser} on ${system}`;
}

/** Lower-case hexadecimal digits. */
export function randomId(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function kept(key: string, make: () => string): string {
  const found = localStorage.getItem(key);
  if (found !== null && found !== "") return found;
  const made = make();
  localStorage.setItem(key, made);
  return made;
}

function clampPercent(value: number): number {
  return Number.isFinite(value) ? Math.round(Math.min(100, Math.max(0, value))) : 70;
}
