// What this listener keeps, and what they heard last.

import type { Album, FullArtist, Show, Track } from "../library/library";
import { artistNames } from "../library/library";
import type { Paged } from "../library/paged";
import { useListing } from "../library/paged";
import { usePage } from "./context";
import { ListingBody, Tiles } from "./listing";
import type { Shelf } from "./route";
import { libraryHref, SHELVES } from "./route";
import { albumTile, artistTile, showTile } from "./tiles";
import { TrackList } from "./track_row";

const NAMES: Readonly<Record<Shelf, string>> = {
  tracks: "Tracks",
  albums: "Albums",
  artists: "Artists",
  shows: "Shows",
  recent: "Heard last",
};

export function MyLibrary({ shelf }: { shelf: Shelf }) {
  return (
    <section aria-labelledby="library-title">
      <h1 id="library-title">Your library</h1>
      <nav class="shelves" aria-label="Library">
        {SHELVES.map((one) => (
          <a key={one} href={libraryHref(one)} {...(one === shelf && { "aria-current": "page" as const })}>
            {NAMES[one]}
          </a>
        ))}
      </nav>
      {shelf === "tracks" && <SavedTracks />}
      {shelf === "albums" && <SavedAlbums />}
      {shelf === "artists" && <FollowedArtists />}
      {shelf === "shows" && <SavedShows />}
      {shelf === "recent" && <HeardLast />}
    </section>
  );
}

function SavedTracks() {
  const { saved } = usePage();
  const tracks = useListing<Paged<{ track: Track }>, { track: Track }>("/v1/me/tracks?limit=50", (page) => page, saved.version.value);
  return (
    <ListingBody listing={tracks} empty="Nothing yet. The heart beside a track puts it here.">
      {(items) => <TrackList label="Saved tracks" tracks={items.map((one) => one.track)} line={withAlbum} />}
    </ListingBody>
  );
}

function SavedAlbums() {
  const { saved } = usePage();
  const albums = useListing<Paged<{ album: Album }>, { album: Album }>("/v1/me/albums?limit=50", (page) => page, saved.version.value);
  return (
    <ListingBody listing={albums} empty="Nothing yet. The heart of an album puts it here.">
      {(items) => <Tiles tiles={items.map((one) => albumTile(one.album))} />}
    </ListingBody>
  );
}

function FollowedArtists() {
  const { saved } = usePage();
  const artists = useListing<{ artists: Paged<FullArtist> }, FullArtist>(
    "/v1/me/following?type=artist&limit=50",
    (answer) => answer.artists,
    saved.version.value,
  );
  return (
    <ListingBody listing={artists} empty="Nobody yet. The heart of an artist puts them here.">
      {(items) => <Tiles tiles={items.map(artistTile)} isRound />}
    </ListingBody>
  );
}

function SavedShows() {
  const { saved } = usePage();
  const shows = useListing<Paged<{ show: Show }>, { show: Show }>("/v1/me/shows?limit=50", (page) => page, saved.version.value);
  return (
    <ListingBody listing={shows} empty="Nothing yet. The heart of a show puts it here.">
      {(items) => <Tiles tiles={items.map((one) => showTile(one.show))} />}
    </ListingBody>
  );
}

function HeardLast() {
  const plays = useListing<Paged<{ track: Track }>, { track: Track }>("/v1/me/player/recently-played?limit=50", (page) => page);
  return (
    <ListingBody listing={plays} empty="Nothing was played to its end yet.">
      {(items) => <TrackList label="Heard last" tracks={items.map((one) => one.track)} line={withAlbum} />}
    </ListingBody>
  );
}

function withAlbum(track: Track): string {
  return [artistNames(track.artists), track.album?.name ?? ""].filter((part) => part !== "").join(" · ");
}
