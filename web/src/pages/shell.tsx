// The whole page: signed out it is a form, signed in a header, a page, a panel and the bar.

import { useEffect } from "preact/hooks";
import { player, signedIn } from "../session/store";
import { AlbumPage } from "./album";
import { Albums } from "./albums";
import { ArtistPage, Artists } from "./artist";
import { usePage } from "./context";
import { Devices } from "./devices";
import { Icon } from "./icons";
import { useKeyboard } from "./keyboard";
import { LargePlayer } from "./large_player";
import { Login } from "./login";
import { useMediaSession } from "./media_session";
import { ConnectionBanner, Toasts } from "./notices";
import { MyLibrary } from "./my_library";
import { NowPlaying } from "./now_playing";
import { openPanel } from "./panels";
import { Queue } from "./queue";
import type { Route } from "./route";
import { albumsHref, artistsHref, libraryHref, route, settingsHref, showsHref } from "./route";
import { SearchField, SearchPage } from "./search";
import { Settings } from "./settings";
import { ShowPage, Shows } from "./show";

export function Shell() {
  return (
    <>
      {signedIn.value ? <SignedIn /> : <Login />}
      <Toasts />
    </>
  );
}

function SignedIn() {
  const { app, library, saved } = usePage();
  const at = route.value;
  const panel = openPanel.value;
  useEffect(() => {
    app.link.open();
    return () => {
      library.clear();
      saved.clear();
    };
  }, []);
  useKeyboard();
  useMediaSession();
  const item = player.value?.track ?? null;
  const track = item === null ? undefined : library.track(item.uri);
  useEffect(() => {
    document.title = track && player.value?.is_playing ? `${track.name} · Segue` : "Segue";
  }, [track, player.value?.is_playing]);

  const isLarge = at.page === "now";
  return (
    <div class={`shell ${panel === null ? "" : "with-panel"} ${isLarge ? "large" : ""}`}>
      {!isLarge && <Top />}
      <ConnectionBanner />
      <main class="content" id="content">
        <Content />
      </main>
      {panel === "queue" && <Queue />}
      {panel === "devices" && <Devices />}
      <NowPlaying />
    </div>
  );
}

function Content() {
  const at = route.value;
  switch (at.page) {
    case "albums":
      return <Albums />;
    case "album":
      return <AlbumPage id={at.id} />;
    case "artists":
      return <Artists />;
    case "artist":
      return <ArtistPage key={at.id} id={at.id} />;
    case "shows":
      return <Shows />;
    case "show":
      return <ShowPage key={at.id} id={at.id} />;
    case "search":
      return <SearchPage words={at.words} />;
    case "library":
      return <MyLibrary shelf={at.shelf} />;
    case "settings":
      return <Settings />;
    case "now":
      return <LargePlayer />;
  }
}

const PLACES: readonly { name: string; href: string; pages: readonly Route["page"][] }[] = [
  { name: "Albums", href: albumsHref, pages: ["albums", "album"] },
  { name: "Artists", href: artistsHref, pages: ["artists", "artist"] },
  { name: "Shows", href: showsHref, pages: ["shows", "show"] },
  { name: "Library", href: libraryHref("tracks"), pages: ["library"] },
];

function Top() {
  const at = route.value.page;
  return (
    <header class="top">
      <a class="wordmark" href={albumsHref} aria-label="Segue, all albums">
        Segue
      </a>
      <nav class="places" aria-label="Music">
        {PLACES.map(({ name, href, pages }) => (
          <a key={name} href={href} {...(pages.includes(at) && { "aria-current": "page" as const })}>
            {name}
          </a>
        ))}
      </nav>
      <SearchField />
      <a class="round-link" href={settingsHref} aria-label="Settings" title="Settings" {...(at === "settings" && { "aria-current": "page" as const })}>
        <Icon name="settings" />
      </a>
    </header>
  );
}
