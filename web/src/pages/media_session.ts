// The lock screen, headset buttons and media keys: they show what plays here and send the same commands as the page.

import { useEffect } from "preact/hooks";
import { artistNames, coverUrl } from "../library/library";
import { positionMs } from "../session/merge";
import { isHere, player } from "../session/store";
import { usePage } from "./context";

const SEEK_STEP_S = 10;

export function useMediaSession(): void {
  const { app, library, run } = usePage();
  useEffect(() => {
    if (!("mediaSession" in navigator)) return;
    const session = navigator.mediaSession;
    session.setActionHandler("play", () => void run({ endpoint: "resume" }));
    session.setActionHandler("pause", () => void run({ endpoint: "pause" }));
    session.setActionHandler("nexttrack", () => void run({ endpoint: "skip_next" }));
    session.setActionHandler("previoustrack", () => void run({ endpoint: "skip_prev" }));
    const seekBy = (sign: number) => (details: MediaSessionActionDetails): void => {
      const state = player.value;
      if (state?.track == null) return;
      const to = positionMs(state, app.link.serverNowMs()) + sign * (details.seekOffset ?? SEEK_STEP_S) * 1000;
      void run({ endpoint: "seek_to", position_ms: Math.round(Math.min(Math.max(0, to), state.duration)) });
    };
    session.setActionHandler("seekbackward", seekBy(-1));
    session.setActionHandler("seekforward", seekBy(1));
    session.setActionHandler("seekto", (details) => {
      if (details.seekTime != null) void run({ endpoint: "seek_to", position_ms: Math.round(details.seekTime * 1000) });
    });
  }, []);

  const item = player.value?.track ?? null;
  const track = item === null ? undefined : library.track(item.uri);
  const here = isHere.value;
  useEffect(() => {
    if (!("mediaSession" in navigator)) return;
    if (!here || track === undefined) {
      navigator.mediaSession.metadata = null;
      return;
    }
    const cover = coverUrl(track.album?.images, 512);
    navigator.mediaSession.metadata = new MediaMetadata({
      title: track.name,
      artist: artistNames(track.artists),
      album: track.album?.name ?? "",
      artwork: cover === null ? [] : [{ src: cover }],
    });
  }, [here, track]);

  // Two elements take turns at sounding, so the browser is told what plays rather than left to guess.
  const state = player.value;
  const isPlaying = state?.is_playing ?? false;
  useEffect(() => {
    if (!("mediaSession" in navigator)) return;
    const session = navigator.mediaSession;
    session.playbackState = !here || state === null || state.track === null ? "none" : isPlaying ? "playing" : "paused";
    if (!here || state === null || state.track === null || state.duration <= 0) {
      session.setPositionState();
      return;
    }
    const position = positionMs(state, app.link.serverNowMs()) / 1000;
    session.setPositionState({ duration: state.duration / 1000, position, playbackRate: state.set_speed });
  }, [here, isPlaying, state?.play_id, state?.playhead_version, state?.set_speed]);
}
