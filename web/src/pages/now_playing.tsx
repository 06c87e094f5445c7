// The bar at the bottom: what plays, where in it we are, and everything one does to it.

import { useEffect, useState } from "preact/hooks";
import { clockText } from "../library/library";
import type { Repeat } from "../wire/frames";
import { deviceId, muted, setOwnVolume, volumePercent } from "../session/device";
import { positionMs } from "../session/merge";
import { activeDevice, isHere, needsGesture, noteOwnVolume, playbackTrouble, player } from "../session/store";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Credits } from "./credits";
import { Heart } from "./heart";
import { Icon } from "./icons";
import { albumHref, nowHref, route } from "./route";
import { Slider } from "./slider";
import { reasonText } from "./words";
import { openPanel, togglePanel } from "./panels";

const POSITION_EVERY_MS = 250;
const VOLUME_EVERY_MS = 200;
const NEXT_REPEAT: Readonly<Record<Repeat, Repeat>> = { off: "context", context: "track", track: "off" };
const REPEAT_TEXT: Readonly<Record<Repeat, string>> = { off: "off", context: "the whole", track: "this track" };

export function NowPlaying() {
  const { library } = usePage();
  const state = player.value;
  const item = state?.track ?? null;
  const track = item === null ? undefined : library.track(item.uri);

  return (
    <footer class="bar" aria-label="Player" hidden={route.value.page === "now"}>
      {needsGesture.value && (
        <button type="button" class="gesture">
          <Icon name="play" size={18} /> Tap to let this device play
        </button>
      )}
      {playbackTrouble.value !== null && (
        <p class="trouble" role="status">
          {playbackTrouble.value}
        </p>
      )}
      <div class="bar-body">
        <div class="bar-track">
          <a class="bar-cover" href={nowHref} aria-label="Show what is playing, large" title="Show large">
            <Cover images={track?.album?.images ?? track?.images} pixels={56} />
          </a>
          <div class="bar-text">
            {item === null ? (
              <span class="quiet">Nothing is playing</span>
            ) : (
              <>
                <a class="bar-title" href={track?.album ? albumHref(track.album.id) : "#/"}>
                  {track?.name ?? "…"}
                </a>
                <span class="quiet">
                  <Credits artists={track?.artists} />
                </span>
              </>
            )}
          </div>
          {item !== null && track !== undefined && <Heart uri={item.uri} name={track.name} />}
        </div>
        <div class="bar-centre">
          <Transport />
          <Position />
        </div>
        <div class="bar-side">
          <PanelButton panel="queue" label="Queue" />
          <PanelButton panel="devices" label="Devices" />
          <Volume />
        </div>
      </div>
      <WhereStrip />
    </footer>
  );
}

export function Transport() {
  const { run } = usePage();
  const state = player.value;
  const item = state?.track ?? null;
  const reasons = (action: string): readonly string[] => state?.disallows[action] ?? [];
  const why = (action: string): string | undefined => {
    const first = reasons(action)[0];
    return first === undefined ? undefined : `Not now: ${reasonText(first)}`;
  };
  const off = (action: string): boolean => item === null || reasons(action).length > 0;
  const repeat = state?.repeat ?? "off";

  return (
    <div class="transport" role="group" aria-label="Playback">
      <button
        type="button"
        class="round minor"
        aria-label="Shuffle"
        aria-pressed={state?.shuffle ?? false}
        disabled={off("toggling_shuffle")}
        title={why("toggling_shuffle") ?? "Shuffle"}
        onClick={() => void run({ endpoint: "set_shuffle", shuffle: !(state?.shuffle ?? false) })}
      >
        <Icon name="shuffle" size={18} />
      </button>
      <button
        type="button"
        class="round"
        aria-label="Previous"
        disabled={item === null}
        title="Previous"
        onClick={() =>
          // The first track has none before it, but it can be heard from its start.
          void run(
            reasons("skipping_prev").length > 0
              ? { endpoint: "seek_to", position_ms: 0 }
              : { endpoint: "skip_prev", ...(item && { from_uid: item.uid }) },
          )
        }
      >
        <Icon name="previous" />
      </button>
      <PlayPause />
      <button
        type="button"
        class="round"
        aria-label="Next"
        disabled={off("skipping_next")}
        title={why("skipping_next") ?? "Next"}
        onClick={() => void run({ endpoint: "skip_next", ...(item && { from_uid: item.uid }) })}
      >
        <Icon name="next" />
      </button>
      <button
        type="button"
        class={`round minor repeat-${repeat}`}
        aria-label={`Repeat: ${REPEAT_TEXT[repeat]}`}
        aria-pressed={repeat !== "off"}
        disabled={off(repeat === "context" ? "toggling_repeat_track" : "toggling_repeat_context")}
        title={why("toggling_repeat_context") ?? `Repeat: ${REPEAT_TEXT[repeat]}`}
        onClick={() => void run({ endpoint: "set_repeat", repeat: NEXT_REPEAT[repeat] })}
      >
        <Icon name="repeat" size={18} />
      </button>
    </div>
  );
}

function PlayPause() {
  const { run } = usePage();
  const state = player.value;
  const isPlaying = state?.is_playing ?? false;
  const waits = isPlaying && (state?.is_buffering ?? false);
  return (
    <button
      type="button"
      class={`round play ${waits ? "waits" : ""}`}
      aria-label={isPlaying ? "Pause" : "Play"}
      disabled={(state?.track ?? null) === null}
      onClick={() => void run(playPauseCommand())}
    >
      <Icon name={isPlaying ? "pause" : "play"} size={24} />
    </button>
  );
}

export function playPauseCommand(): { endpoint: "pause" } | { endpoint: "resume"; device_id?: string } {
  return player.value?.is_playing ? { endpoint: "pause" } : { endpoint: "resume", ...hereIfNowhere() };
}

export function Position() {
  const { app, run } = usePage();
  const state = player.value;
  const [, setBeat] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setBeat((beat) => beat + 1), POSITION_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const duration = state?.duration ?? 0;
  const mine = isHere.value && app.engine.playId === state?.play_id && app.engine.playId !== null;
  const position = state === null ? 0 : mine ? app.engine.positionMs : positionMs(state, app.link.serverNowMs());
  const [held, setHeld] = useState<number | null>(null);
  return (
    <div class="position">
      <span class="quiet time">{clockText(held ?? position)}</span>
      <Slider
        label="Position"
        value={position}
        max={Math.max(1, duration)}
        step={1000}
        disabled={state?.track == null || (state.disallows["seeking"]?.length ?? 0) > 0}
        text={(value) => `${clockText(value)} of ${clockText(duration)}`}
        onMove={setHeld}
        onCommit={(value) => {
          setHeld(null);
          void run({ endpoint: "seek_to", position_ms: Math.round(value) });
        }}
      />
      <span class="quiet time">{clockText(duration)}</span>
    </div>
  );
}

let volumeTimer = 0;
let volumeNext: (() => void) | null = null;

/** At most five a second; the last one always goes out. */
function throttled(send: () => void): void {
  if (volumeTimer !== 0) {
    volumeNext = send;
    return;
  }
  send();
  volumeTimer = window.setTimeout(() => {
    volumeTimer = 0;
    const next = volumeNext;
    volumeNext = null;
    if (next !== null) throttled(next);
  }, VOLUME_EVERY_MS);
}

export function useVolume(): (id: string, percent: number, isMuted?: boolean) => void {
  const { app, run } = usePage();
  return (id, percent, isMuted = false) => {
    if (id === deviceId) {
      setOwnVolume(percent, isMuted);
      app.graph.setVolume(volumePercent.value, muted.value);
      throttled(() => {
        app.link.send({ type: "volume", volume_percent: volumePercent.value, muted: muted.value });
        noteOwnVolume();
      });
    } else {
      throttled(() => void run({ endpoint: "set_volume", volume_percent: Math.round(percent), device_id: id }));
    }
  };
}

export function Volume() {
  const setVolume = useVolume();
  const device = activeDevice.value;
  const here = device === null || device.device_id === deviceId;
  const id = here ? deviceId : device.device_id;
  const percent = here ? volumePercent.value : device.volume_percent;
  const isMuted = here ? muted.value : device.muted;
  const fixed = !here && device.capabilities.volume_steps === 0;
  return (
    <div class="volume">
      <button
        type="button"
        class="round minor"
        aria-label={isMuted ? "Unmute" : "Mute"}
        aria-pressed={isMuted}
        disabled={!here}
        onClick={() => setVolume(id, percent, !isMuted)}
      >
        <Icon name={isMuted || percent === 0 ? "mute" : "volume"} />
      </button>
      <Slider
        label={here ? "Volume" : `Volume of ${device.name}`}
        value={isMuted ? 0 : percent}
        max={100}
        step={1}
        disabled={fixed}
        text={(value) => `${value} percent`}
        onMove={(value) => setVolume(id, value)}
        onCommit={(value) => setVolume(id, value)}
      />
    </div>
  );
}

export function PanelButton({ panel, label }: { panel: "queue" | "devices"; label: string }) {
  const isOpen = openPanel.value === panel;
  return (
    <button
      type="button"
      class="round minor"
      aria-label={label}
      title={label}
      aria-expanded={isOpen}
      aria-controls={`panel-${panel}`}
      onClick={() => togglePanel(panel)}
    >
      <Icon name={panel} />
    </button>
  );
}

/** When the sound is somewhere else: where, so that nobody wonders about the silence. */
export function WhereStrip() {
  const device = activeDevice.value;
  if (device === null || isHere.value || (player.value?.track ?? null) === null) return null;
  return (
    <button type="button" class="where" onClick={() => (openPanel.value = "devices")}>
      <Icon name="here" size={16} /> {player.value?.is_playing ? "Playing on" : "Paused on"} {device.name}
    </button>
  );
}
