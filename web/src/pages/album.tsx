// One album: play it, play from a track, or put a track into the queue.

import { useEffect, useState } from "preact/hooks";
import type { FullAlbum, Track } from "../library/library";
import { artistNames, clockText, lengthText } from "../library/library";
import { player, toast } from "../session/store";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Icon } from "./icons";
import { albumsHref } from "./route";
import { errorText } from "./words";

export function AlbumPage({ id }: { id: string }) {
  const { library } = usePage();
  const [album, setAlbum] = useState<FullAlbum | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);

  useEffect(() => {
    let current = true;
    setAlbum(null);
    setWrong(null);
    library.album(id).then(
      (found) => current && setAlbum(found),
      (error: unknown) => current && setWrong(errorText(error)),
    );
    return () => {
      current = false;
    };
  }, [id]);

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
  const enqueue = async (track: Track): Promise<void> => {
    if (await run({ endpoint: "add_to_queue", uris: [track.uri] })) toast(`“${track.name}” is in the queue.`);
  };
  const current = player.value;

  return (
    <>
      <header class="album-head">
        <Cover images={album.images} pixels={260} />
        <div>
          <p class="eyebrow">Album</p>
          <h1 id="album-title">{album.name}</h1>
          <p class="album-artist">{artistNames(album.artists)}</p>
          <p class="quiet">
            {[album.release_date.slice(0, 4), `${tracks.length} ${tracks.length === 1 ? "track" : "tracks"}`, lengthText(lengthMs)]
              .filter((part) => part !== "")
              .join(" · ")}
          </p>
          <button type="button" class="primary" onClick={() => playFrom()}>
            <Icon name="play" size={18} /> Play
          </button>
        </div>
      </header>
      <ol class="tracks" aria-label="Tracks">
        {tracks.map((track, index) => {
          const isCurrent = current?.track?.uri === track.uri;
          const startsDisc = hasDiscs && track.disc_number !== tracks[index - 1]?.disc_number;
          return (
            <li key={track.id} class={isCurrent ? "current" : ""} aria-current={isCurrent ? "true" : undefined}>
              {startsDisc && <p class="disc">Disc {track.disc_number}</p>}
              <div class="row">
                <button
                  type="button"
                  class="row-main"
                  aria-label={`Play ${track.name}`}
                  disabled={track.is_playable === false}
                  onClick={() => playFrom(track)}
                >
                  <span class="row-number">
                    <span class="number">{isCurrent && current?.is_playing ? <Bars /> : track.track_number}</span>
                    <Icon name="play" size={16} />
                  </span>
                  <span class="row-text">
                    <span class="row-title">{track.name}</span>
                    {artistNames(track.artists) !== artistNames(album.artists) && (
                      <span class="quiet">{artistNames(track.artists)}</span>
                    )}
                  </span>
                  <span class="quiet time">{clockText(track.duration_ms)}</span>
                </button>
                <button
                  type="button"
                  class="round"
                  aria-label={`Add ${track.name} to the queue`}
                  title="Add to the queue"
                  onClick={() => void enqueue(track)}
                >
                  <Icon name="add" />
                </button>
              </div>
            </li>
          );
        })}
      </ol>
    </>
  );
}

function Bars() {
  return (
    <span class="bars" role="img" aria-label="Playing">
      <i />
      <i />
      <i />
    </span>
  );
}
