// The whole page: signed out it is a form, signed in a header, the music, a panel and the bar.

import { useEffect } from "preact/hooks";
import { player, signedIn } from "../session/store";
import { AlbumPage } from "./album";
import { Albums } from "./albums";
import { usePage } from "./context";
import { Devices } from "./devices";
import { useKeyboard } from "./keyboard";
import { Login } from "./login";
import { useMediaSession } from "./media_session";
import { ConnectionBanner, Toasts } from "./notices";
import { NowPlaying } from "./now_playing";
import { openPanel } from "./panels";
import { Queue } from "./queue";
import { albumsHref, route } from "./route";

export function Shell() {
  return (
    <>
      {signedIn.value ? <SignedIn /> : <Login />}
      <Toasts />
    </>
  );
}

function SignedIn() {
  const { app, library } = usePage();
  const at = route.value;
  const panel = openPanel.value;
  useEffect(() => {
    app.link.open();
    return () => library.clear();
  }, []);
  useKeyboard();
  useMediaSession();
  const item = player.value?.track ?? null;
  const track = item === null ? undefined : library.track(item.uri);
  useEffect(() => {
    document.title = track && player.value?.is_playing ? `${track.name} · Segue` : "Segue";
  }, [track, player.value?.is_playing]);

  return (
    <div class={`shell ${panel === null ? "" : "with-panel"}`}>
      <header class="top">
        <a class="wordmark" href={albumsHref}>
          Segue
        </a>
        <button type="button" class="plain" onClick={() => app.rest.signOut()}>
          Sign out
        </button>
      </header>
      <ConnectionBanner />
      <main class="content">{at.page === "album" ? <AlbumPage id={at.id} /> : <Albums />}</main>
      {panel === "queue" && <Queue />}
      {panel === "devices" && <Devices />}
      <NowPlaying />
    </div>
  );
}
