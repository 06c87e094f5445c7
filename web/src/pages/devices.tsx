// All devices of this listener: which one sounds, how loud each is, and handing the music from one to another.

import { useState } from "preact/hooks";
import type { Device, DeviceType } from "../wire/frames";
import { deviceId, deviceName, muted, rename, volumePercent } from "../session/device";
import { devices, player, view } from "../session/store";
import { usePage } from "./context";
import type { IconName } from "./icons";
import { Icon } from "./icons";
import { useVolume } from "./now_playing";
import { Panel } from "./panels";
import { Slider } from "./slider";
import { gapText, reasonText } from "./words";

const SIGN: Readonly<Record<DeviceType, IconName>> = {
  computer: "screen",
  web: "screen",
  smartphone: "phone",
  speaker: "speaker",
  unknown: "speaker",
};

const UNDER_WAY = new Set(["preparing", "ready", "committed"]);

export function Devices() {
  const handoff = view.value?.handoff ?? null;
  const last = player.value?.last_handoff ?? null;
  const nameOf = (id: string | null): string => devices.value.find((one) => one.device_id === id)?.name ?? "another device";
  // The one that sounds first, then this one, then by name, so that the list does not jump about.
  const rank = (device: Device): number => (device.is_active ? 0 : device.device_id === deviceId ? 1 : 2);
  const sorted = [...devices.value].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  const isThere = (device: Device): boolean => device.connection !== "offline" || device.is_active;
  const away = sorted.filter((device) => !isThere(device));
  const gap = last === null ? null : gapText(last);

  return (
    <Panel name="devices" title="Devices">
      <ul class="devices">
        {sorted.filter(isThere).map((device) => (
          <DeviceRow key={device.device_id} device={device} isTarget={handoff?.to_device_id === device.device_id && UNDER_WAY.has(handoff.phase)} />
        ))}
      </ul>
      <p class="handoff quiet" role="status">
        {handoff !== null && UNDER_WAY.has(handoff.phase) ? (
          `Handing over to ${nameOf(handoff.to_device_id)}…`
        ) : handoff?.phase === "aborted" ? (
          `The handover to ${nameOf(handoff.to_device_id)} did not work: ${reasonText(handoff.reason ?? "unknown")}.`
        ) : last !== null ? (
          <>
            Last handover to {nameOf(last.to_device_id)}
            {gap === null ? "." : <>: <strong data-testid="gap">{gap}</strong></>}
          </>
        ) : (
          "Choose a device to hand the music over. It goes on where it is."
        )}
      </p>
      {away.length > 0 && (
        <details class="away">
          <summary>
            {away.length} switched off
          </summary>
          <ul class="devices">
            {away.map((device) => (
              <AwayRow key={device.device_id} device={device} />
            ))}
          </ul>
        </details>
      )}
    </Panel>
  );
}

function DeviceRow({ device, isTarget }: { device: Device; isTarget: boolean }) {
  const { run } = usePage();
  const setVolume = useVolume();
  const [asked, setAsked] = useState(false);
  const isOwn = device.device_id === deviceId;
  const reasons = device.disallow_transfer_reasons ?? [];
  const reachable = device.connection === "online";
  const percent = isOwn ? volumePercent.value : device.volume_percent;
  const isMuted = isOwn ? muted.value : device.muted;

  async function transfer(): Promise<void> {
    setAsked(true);
    await run({ endpoint: "transfer", device_id: device.device_id });
    setAsked(false);
  }

  return (
    <li class={`device ${device.is_active ? "current" : ""}`}>
      <div class="device-head">
        <Icon name={SIGN[device.type]} size={24} />
        <div class="row-text">
          {isOwn ? <OwnName /> : <span class="row-title">{device.name}</span>}
          <span class="quiet">{statusText(device, isOwn, isTarget, reasons)}</span>
        </div>
        {!device.is_active && (
          <button
            type="button"
            class="small"
            {...(!(asked || isTarget) && { "aria-label": `Play on ${device.name}` })}
            disabled={asked || isTarget || reasons.length > 0}
            onClick={() => void transfer()}
          >
            {asked || isTarget ? "One moment…" : "Play"}
          </button>
        )}
      </div>
      {device.capabilities.can_be_player && device.capabilities.volume_steps > 0 && reachable && (
        <div class="device-volume">
          <Icon name={isMuted || percent === 0 ? "mute" : "volume"} size={16} />
          <Slider
            label={`Volume of ${device.name}`}
            value={isMuted ? 0 : percent}
            max={100}
            step={1}
            text={(value) => `${value} percent`}
            onMove={(value) => setVolume(device.device_id, value)}
            onCommit={(value) => setVolume(device.device_id, value)}
          />
        </div>
      )}
    </li>
  );
}

function AwayRow({ device }: { device: Device }) {
  const { run } = usePage();
  return (
    <li class="device away-row">
      <Icon name={SIGN[device.type]} size={20} />
      <div class="row-text">
        <span class="row-title">{device.name}</span>
        <span class="quiet">Last seen {new Date(device.last_seen_at_ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}</span>
      </div>
      <button
        type="button"
        class="round minor"
        aria-label={`Forget ${device.name}`}
        title="Forget this device"
        onClick={() => void run({ endpoint: "forget_device", device_id: device.device_id })}
      >
        <Icon name="close" size={16} />
      </button>
    </li>
  );
}

function statusText(device: Device, isOwn: boolean, isTarget: boolean, reasons: readonly string[]): string {
  const own = isOwn ? "This device" : "";
  const what = ((): string => {
    if (isTarget) return "getting ready";
    if (device.connection === "grace") return "connection lost";
    if (device.connection === "offline") return "switched off";
    if (device.is_active) return player.value?.is_playing ? "playing" : "paused";
    if (reasons.length > 0) return reasons.map(reasonText).join(", ");
    return isOwn ? "" : "ready";
  })();
  return capital([own, what].filter((part) => part !== "").join(" · "));
}

function OwnName() {
  const { run } = usePage();
  const [editing, setEditing] = useState(false);
  if (!editing) {
    return (
      <span class="row-title own">
        {deviceName.value}
        <button type="button" class="round tiny" aria-label="Rename this device" title="Rename" onClick={() => setEditing(true)}>
          <Icon name="edit" size={14} />
        </button>
      </span>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const name = String(new FormData(event.currentTarget).get("name")).trim();
        setEditing(false);
        if (name === "" || name === deviceName.value) return;
        rename(name);
        void run({ endpoint: "rename_device", device_id: deviceId, name: deviceName.value });
      }}
    >
      <input class="inline" name="name" maxLength={64} aria-label="Name of this device" value={deviceName.value} autofocus onBlur={(event) => event.currentTarget.form?.requestSubmit()} />
    </form>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
