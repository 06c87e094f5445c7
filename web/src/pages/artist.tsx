// One artist: what to begin with, all albums, and who is near.

import { useEffect, useState } from "preact/hooks";
import type { Album, FullArtist, Track } from "../library/library";
import type { Paged } from "../library/paged";
import { useListing } from "../library/paged";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Heart } from "./heart";
import { Icon } from "./icons";
import { ListingBody, Tiles } from "./listing";
import { artistsHref } from "./route";
import { albumTile, artistTile, yearOf } from "./tiles";
import { TrackList } from "./track_row";
import { errorText } from "./words";

export function ArtistPage({ id }: { id: string }) {
  const { app, library, run } = usePage();
  const [artist, setArtist] = useState<FullArtist | null>(null);
  const [top, setTop] = useState<readonly Track[]>([]);
  const [related, setRelated] = useState<readonly FullArtist[]>([]);
  const [wrong, setWrong] = useState<string | null>(null);
  const albums = useListing<Paged<Album>, Album>(`/v1/artists/${id}/albums?limit=50`, (page) => page);

  useEffect(() => {
    let current = true;
    setArtist(null);
    setTop([]);
    setRelated([]);
    setWrong(null);
    app.rest.get<FullArtist>(`/v1/artists/${id}`).then(
      (found) => current && setArtist(found),
      (error: unknown) => current && setWrong(errorText(error)),
    );
    // What is missing of these is simply not shown.
    void app.rest
      .get<{ tracks: readonly Track[] }>(`/v1/artists/${id}/top-tracks`)
      .then(({ tracks }) => {
        library.learn(tracks);
        if (current) setTop(tracks);
      })
      .catch(() => undefined);
    void app.rest
      .get<{ artists: readonly FullArtist[] }>(`/v1/artists/${id}/related-artists`)
      .then(({ artists }) => current && setRelated(artists))
      .catch(() => undefined);
    return () => {
      current = false;
    };
  }, [id]);

  const play = (): void => {
    void run({ endpoint: "play", context_uri: `spotify:artist:${id}`, ...hereIfNowhere() });
  };
  return (
    <section aria-labelledby="artist-title">
      <a class="back" href={artistsHref}>
        <Icon name="back" size={16} /> All artists
      </a>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
      {artist !== null && (
        <header class="album-head of-artist">
          <Cover images={artist.images} pixels={220} />
          <div>
            <p class="eyebrow">Artist</p>
            <h1 id="artist-title">{artist.name}</h1>
            <p class="quiet">{artist.genres.slice(0, 4).join(" · ")}</p>
            <div class="head-actions">
              <button type="button" class="primary" onClick={play}>
                <Icon name="play" size={18} /> Play
              </button>
              <Heart uri={artist.uri} name={artist.name} size={22} />
            </div>
          </div>
        </header>
      )}
      {top.length > 0 && (
        <>
          <h2>To begin with</h2>
          <TrackList label="Tracks to begin with" tracks={top} line={(track) => track.album?.name ?? ""} />
        </>
      )}
      <h2>Albums</h2>
      <ListingBody listing={albums} empty="No albums.">
        {(items) => <Tiles tiles={items.map((album) => albumTile(album, yearOf(album)))} />}
      </ListingBody>
      {related.length > 0 && (
        <>
          <h2>Near in kind</h2>
          <Tiles tiles={related.slice(0, 12).map(artistTile)} isRound />
        </>
      )}
    </section>
  );
}

export function Artists() {
  const artists = useListing<Paged<FullArtist>, FullArtist>("/v1/browse/artists?limit=50", (page) => page);
  return (
    <section aria-labelledby="artists-title">
      <h1 id="artists-title">Artists</h1>
      <ListingBody listing={artists} empty="There is no music here yet. Start the server with a folder of it.">
        {(items) => <Tiles tiles={items.map(artistTile)} isRound />}
      </ListingBody>
    </section>
  );
}
