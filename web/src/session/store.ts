// What the page shows, as signals: filled by the link, read by the pages.

import { computed, signal } from "@preact/signals";
import type { Device } from "../wire/frames";
import { deviceId, muted, volumePercent } from "./device";
import type { LinkStatus } from "./link";
import type { View } from "./merge";

export const view = signal<View | null>(null);
export const linkStatus = signal<LinkStatus>({ what: "off" });
export const signedIn = signal(false);
/** The browser wants a tap before this page may sound. */
export const needsGesture = signal(false);
/** What this device is at, when it plays and something is the matter. */
export const playbackTrouble = signal<string | null>(null);

export const player = computed(() => view.value?.player ?? null);
export const devices = computed(() => view.value?.devices ?? []);
export const activeDevice = computed<Device | null>(
  () => devices.value.find((device) => device.device_id === player.value?.active_device_id) ?? null,
);
export const isHere = computed(() => player.value?.active_device_id === deviceId);

/** How loud this device is, it told the others; it is not told again. */
export function noteOwnVolume(): void {
  if (view.value === null) return;
  const own = { volume_percent: volumePercent.value, muted: muted.value };
  view.value = { ...view.value, devices: devices.value.map((device) => (device.device_id === deviceId ? { ...device, ...own } : device)) };
}

// --- short messages -----------------------------------------------------------------------------------------

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly isError: boolean;
}

const TOASTS_MAX = 2;
/** What went well needs less time to be read than what did not. */
const TOAST_MS = { news: 3_500, error: 7_000 } as const;
let nextToast = 1;
export const toasts = signal<readonly Toast[]>([]);

export function toast(text: string, isError = false): void {
  const id = nextToast++;
  // The same words twice at once help nobody.
  toasts.value = [...toasts.value.filter((one) => one.text !== text), { id, text, isError }].slice(-TOASTS_MAX);
  setTimeout(() => dismiss(id), isError ? TOAST_MS.error : TOAST_MS.news);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}
