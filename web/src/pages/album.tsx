// One album: play it, play from a track, or put a track into the queue.

import { useEffect, useState } from "preact/hooks";
import type { FullAlbum, Track } from "../library/library";
import { artistNames, lengthText } from "../library/library";
import { linkStatus, player, toast } from "../session/store";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Credits } from "./credits";
import { Heart } from "./heart";
import { Icon } from "./icons";
import { Menu } from "./menu";
import { albumsHref } from "./route";
import { TrackRow } from "./track_row";
import { errorText } from "./words";

/** One command names no more. */
const URIS_MAX = 100;

export function AlbumPage({ id }: { id: string }) {
  const { library } = usePage();
  const [album, setAlbum] = useState<FullAlbum | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);

  useEffect(() => {
    let current = true;
    if (album?.id !== id) setAlbum(null);
    setWrong(null);
    library.album(id).then(
      (found) => current && setAlbum(found),
      (error: unknown) => current && setWrong(errorText(error)),
    );
    return () => {
      current = false;
    };
    // Also when the connection is there again: an album that is known comes from memory then.
  }, [id, linkStatus.value.what === "online"]);

  return (
    <section aria-labelledby="album-title">
      <a class="back" href={albumsHref}>
        <Icon name="back" size={16} /> All albums
      </a>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
      {album === null && wrong === null && <p class="quiet">Fetching the album…</p>}
      {album !== null && <AlbumBody album={album} />}
    </section>
  );
}

function AlbumBody({ album }: { album: FullAlbum }) {
  const { run } = usePage();
  const tracks = album.tracks.items;
  const lengthMs = tracks.reduce((sum, track) => sum + track.duration_ms, 0);
  const hasDiscs = tracks.some((track) => track.disc_number > 1);
  const playFrom = (track?: Track): void => {
    const offset = track === undefined ? {} : { offset_uri: track.uri };
    void run({ endpoint: "play", context_uri: album.uri, ...offset, ...hereIfNowhere() });
  };
  const enqueueAll = async (): Promise<void> => {
    const uris = tracks.filter((track) => track.is_playable !== false).slice(0, URIS_MAX).map((track) => track.uri);
    if (await run({ endpoint: "add_to_queue", uris })) toast(`“${album.name}” is in the queue.`);
  };

  return (
    <>
      <header class="album-head">
        <Cover images={album.images} pixels={260} />
        <div>
          <p class="eyebrow">Album</p>
          <h1 id="album-title">{album.name}</h1>
          <p class="album-artist">
            <Credits artists={album.artists} />
          </p>
          <p class="quiet">
            {[album.release_date.slice(0, 4), `${tracks.length} ${tracks.length === 1 ? "track" : "tracks"}`, lengthText(lengthMs)]
              .filter((part) => part !== "")
              .join(" · ")}
          </p>
          <div class="head-actions">
            <button type="button" class="primary" onClick={() => playFrom()}>
              <Icon name="play" size={18} /> Play
            </button>
            <Heart uri={album.uri} name={album.name} size={22} />
            <Menu label={`More for ${album.name}`} entries={[{ label: "Add to the queue", icon: "add", run: () => void enqueueAll() }]} />
          </div>
        </div>
      </header>
      <ol class="tracks" aria-label="Tracks">
        {tracks.map((track, index) => {
          const startsDisc = hasDiscs && track.disc_number !== tracks[index - 1]?.disc_number;
          const isOwn = artistNames(track.artists) === artistNames(album.artists);
          return (
            <li key={track.id} class={player.value?.track?.uri === track.uri ? "current" : ""}>
              {startsDisc && <p class="disc">Disc {track.disc_number}</p>}
              <TrackRow
                track={track}
                number={track.track_number}
                isOnAlbumPage
                onPlay={() => playFrom(track)}
                {...(isOwn && { line: null })}
              />
            </li>
          );
        })}
      </ol>
    </>
  );
}
