// When it stops by itself, and how fast speech goes.

import { useEffect, useState } from "preact/hooks";
import { player } from "../session/store";
import { usePage } from "./context";
import { Menu } from "./menu";

const MINUTES = [5, 15, 30, 45, 60, 90] as const;
const SPEEDS = [0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3] as const;
const BEAT_MS = 1_000;

/** `isNamed`: says what it is set to also when it is off. */
export function SleepButton({ isNamed = false }: { isNamed?: boolean }) {
  const { app, run } = usePage();
  const timer = player.value?.sleep_timer ?? null;
  const [, setBeat] = useState(0);
  useEffect(() => {
    if (timer === null) return;
    const beat = setInterval(() => setBeat((count) => count + 1), BEAT_MS);
    return () => clearInterval(beat);
  }, [timer === null]);
  const left = timer?.at_ms == null ? null : Math.max(0, timer.at_ms - app.link.serverNowMs());
  const text = timer === null ? "Off" : timer.end_of_track ? "At the end of the track" : `${Math.ceil((left ?? 0) / 60_000)} min left`;
  return (
    <span class="timing">
      <Menu
        label={`Sleep timer: ${text.toLowerCase()}`}
        icon="moon"
        pressed={timer !== null}
        entries={[
          { label: "Off", isChosen: timer === null, run: () => void run({ endpoint: "set_sleep_timer" }) },
          ...MINUTES.map((minutes) => ({
            label: `In ${minutes} minutes`,
            isChosen: false,
            run: () => void run({ endpoint: "set_sleep_timer", duration_ms: minutes * 60_000 }),
          })),
          {
            label: "At the end of the track",
            isChosen: timer?.end_of_track ?? false,
            run: () => void run({ endpoint: "set_sleep_timer", end_of_track: true }),
          },
        ]}
      />
      {(isNamed || timer !== null) && <span class="quiet">{text}</span>}
    </span>
  );
}

/** Only for speech: music has its own time. */
export function SpeedButton() {
  const { run } = usePage();
  const state = player.value;
  if (!state?.track?.is_speech) return null;
  return (
    <span class="timing">
      <Menu
        label={`Speed: ${state.set_speed}×`}
        icon="speed"
        pressed={state.set_speed !== 1}
        entries={SPEEDS.map((speed) => ({
          label: `${speed}×`,
          isChosen: state.set_speed === speed,
          run: () => void run({ endpoint: "set_speed", speed }),
        }))}
      />
      {state.set_speed !== 1 && <span class="quiet">{state.set_speed}×</span>}
    </span>
  );
}
