// Keys that work anywhere on the page: space, the slash for search, and the arrows with Shift or Alt left to the browser.

import { useEffect } from "preact/hooks";
import { positionMs } from "../session/merge";
import { player } from "../session/store";
import { usePage } from "./context";
import { playPauseCommand } from "./now_playing";
import { openPanel } from "./panels";

const SEEK_STEP_MS = 5_000;

export function useKeyboard(): void {
  const { app, run } = usePage();
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      if (event.key === "Escape") {
        openPanel.value = null;
        return;
      }
      if (event.key === "/" && !(event.target as HTMLElement).closest("input, textarea")) {
        event.preventDefault();
        document.querySelector<HTMLElement>("input[type=search]")?.focus();
        return;
      }
      const state = player.value;
      // A key belongs first to the control that has the focus.
      const focused = event.target instanceof HTMLElement ? event.target : null;
      if (focused?.closest("input, textarea, select") || state === null || state.track === null) return;
      if (event.key === " ") {
        if (focused?.closest("button, a")) return;
        event.preventDefault();
        void run(playPauseCommand());
      } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        event.preventDefault();
        const step = event.key === "ArrowLeft" ? -SEEK_STEP_MS : SEEK_STEP_MS;
        const to = Math.min(Math.max(0, positionMs(state, app.link.serverNowMs()) + step), state.duration);
        void run({ endpoint: "seek_to", position_ms: Math.round(to) });
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}
