// The lock screen, headset buttons and media keys: they show what plays here and send the same commands as the page.

import { useEffect } from "preact/hooks";
import { artistNames, coverUrl } from "../library/library";
import { isHere, player } from "../session/store";
import { usePage } from "./context";

export function useMediaSession(): void {
  const { library, run } = usePage();
  useEffect(() => {
    if (!("mediaSession" in navigator)) return;
    const session = navigator.mediaSession;
    session.setActionHandler("play", () => void run({ endpoint: "resume" }));
    session.setActionHandler("pause", () => void run({ endpoint: "pause" }));
    session.setActionHandler("nexttrack", () => void run({ endpoint: "skip_next" }));
    session.setActionHandler("previoustrack", () => void run({ endpoint: "skip_prev" }));
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
}
