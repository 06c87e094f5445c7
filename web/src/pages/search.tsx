// Search while one types: a field in the header, and what was found.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Album, Episode, FullArtist, Show, Track } from "../library/library";
import { episodeAsTrack } from "../library/library";
import { usePage } from "./context";
import { Icon } from "./icons";
import { Tiles } from "./listing";
import { albumsHref, route, searchHref } from "./route";
import { albumTile, artistTile, showTile } from "./tiles";
import { TrackList } from "./track_row";
import { errorText } from "./words";

const TYPED_MS = 180;
const WORDS_MAX = 250;
const EACH = 12;

interface Page<T> {
  items: readonly T[];
}

interface Found {
  tracks?: Page<Track>;
  albums?: Page<Album>;
  artists?: Page<FullArtist>;
  shows?: Page<Show>;
  episodes?: Page<Episode>;
}

export function SearchField() {
  const at = route.value;
  const words = at.page === "search" ? at.words : "";
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // Not while the listener types: what is in the field is newer then.
    if (field.current !== null && document.activeElement !== field.current) field.current.value = words;
  }, [words]);
  const go = (value: string): void => {
    const wanted = value.trim() === "" ? albumsHref : searchHref(value);
    // While one types there is one step in the history, not one for each letter.
    if (route.value.page === "search") {
      history.replaceState(null, "", wanted);
      dispatchEvent(new HashChangeEvent("hashchange"));
    } else location.hash = wanted;
  };
  return (
    <form role="search" class="search" onSubmit={(event) => event.preventDefault()}>
      <Icon name="search" size={18} />
      <input
        ref={field}
        type="search"
        name="q"
        aria-label="Search"
        placeholder="Search"
        autocomplete="off"
        spellcheck={false}
        maxLength={WORDS_MAX}
        defaultValue={words}
        onInput={(event) => go(event.currentTarget.value)}
      />
    </form>
  );
}

export function SearchPage({ words }: { words: string }) {
  const { app, library } = usePage();
  const [found, setFound] = useState<{ words: string; what: Found } | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const asked = words.trim();
  useEffect(() => {
    if (asked === "") return;
    let current = true;
    const timer = setTimeout(() => {
      const query = new URLSearchParams({ q: asked, type: "track,album,artist,show,episode", limit: String(EACH) });
      app.rest.get<Found>(`/v1/search?${query}`).then(
        (what) => {
          library.learn(what.tracks?.items ?? []);
          if (!current) return;
          setWrong(null);
          setFound({ words: asked, what });
        },
        (error: unknown) => current && setWrong(errorText(error)),
      );
    }, TYPED_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [asked]);

  const { tracks, albums, artists, shows, episodes } = found?.what ?? {};
  const count = [tracks, albums, artists, shows, episodes].reduce((sum, page) => sum + (page?.items.length ?? 0), 0);
  return (
    <section aria-labelledby="search-title" class="found">
      <h1 id="search-title">{asked === "" ? "Search" : `“${asked}”`}</h1>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
      <p class="unseen" role="status">
        {found !== null && `${count} found`}
      </p>
      {found !== null && count === 0 && wrong === null && <p class="quiet empty">Nothing in this library goes by that name.</p>}
      {has(tracks) && (
        <>
          <h2>Tracks</h2>
          <TrackList label="Tracks" tracks={tracks.items} />
        </>
      )}
      {has(artists) && (
        <>
          <h2>Artists</h2>
          <Tiles tiles={artists.items.map(artistTile)} isRound />
        </>
      )}
      {has(albums) && (
        <>
          <h2>Albums</h2>
          <Tiles tiles={albums.items.map((album) => albumTile(album))} />
        </>
      )}
      {has(shows) && (
        <>
          <h2>Shows</h2>
          <Tiles tiles={shows.items.map(showTile)} />
        </>
      )}
      {has(episodes) && (
        <>
          <h2>Episodes</h2>
          <TrackList label="Episodes" tracks={episodes.items.map(episodeAsTrack)} />
        </>
      )}
    </section>
  );
}

function has<T>(page: Page<T> | undefined): page is Page<T> {
  return page !== undefined && page.items.length > 0;
}
