// One track in a list: play it, keep it, queue it.

import type { Track } from "../library/library";
import { artistNames, clockText } from "../library/library";
import { player } from "../session/store";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Heart } from "./heart";
import { Icon } from "./icons";
import type { MenuEntry } from "./menu";
import { Menu } from "./menu";
import { albumHref, artistHref } from "./route";

const URIS_MAX = 100;

interface Props {
  track: Track;
  onPlay: () => void;
  /** Beside the title; null leaves the line out. */
  line?: string | null;
  /** A number in front, or else the cover. */
  number?: number;
  isOnAlbumPage?: boolean;
}

export function TrackRow({ track, onPlay, line = artistNames(track.artists), number, isOnAlbumPage = false }: Props) {
  const { enqueue } = usePage();
  const current = player.value;
  const isCurrent = current?.track?.uri === track.uri;
  const [artist] = track.artists;
  const links: MenuEntry[] = [];
  if (!isOnAlbumPage && track.album !== undefined) links.push({ label: "Go to the album", icon: "note", href: albumHref(track.album.id) });
  if (artist !== undefined && artist.id !== "") links.push({ label: `Go to ${artist.name}`, icon: "person", href: artistHref(artist.id) });
  return (
    <div class="row" {...(isCurrent && { "aria-current": "true" })}>
      <button type="button" class="row-main" disabled={track.is_playable === false} onClick={onPlay}>
        <span class="unseen">Play </span>
        {number === undefined ? (
          <Cover images={track.album?.images ?? track.images} pixels={40} />
        ) : (
          <span class="row-number" aria-hidden="true">
            <span class="number">{isCurrent && current?.is_playing ? <Bars /> : number}</span>
            <Icon name="play" size={16} />
          </span>
        )}
        <span class="row-text">
          <span class="row-title">
            {track.name}
            {track.explicit && (
              <abbr class="explicit" title="Explicit">
                E
              </abbr>
            )}
          </span>
          {line !== null && <span class="quiet">{line}</span>}
        </span>
        <span class="quiet time">{clockText(track.duration_ms)}</span>
      </button>
      <Heart uri={track.uri} name={track.name} />
      <button
        type="button"
        class="round minor"
        aria-label={`Add ${track.name} to the queue`}
        title="Add to the queue"
        onClick={() => void enqueue(track.uri, track.name)}
      >
        <Icon name="add" />
      </button>
      <Menu
        label={`More for ${track.name}`}
        entries={[
          { label: "Play next", icon: "playNext", run: () => void enqueue(track.uri, track.name, true) },
          { label: "Add to the queue", icon: "add", run: () => void enqueue(track.uri, track.name) },
          ...links,
        ]}
      />
    </div>
  );
}

/** Tracks that are no album: from the chosen one on they play one after the other. */
export function TrackList({ label, tracks, line }: { label: string; tracks: readonly Track[]; line?: (track: Track) => string | null }) {
  const { run } = usePage();
  const play = (track: Track): void => void run(playOf(tracks, track));
  return (
    <ol class="tracks" aria-label={label}>
      {tracks.map((track, at) => (
        <li key={`${at} ${track.id}`} class={player.value?.track?.uri === track.uri ? "current" : ""}>
          <TrackRow track={track} onPlay={() => play(track)} {...(line && { line: line(track) })} />
        </li>
      ))}
    </ol>
  );
}

function playOf(tracks: readonly Track[], track: Track) {
  const playable = tracks.filter((one) => one.is_playable !== false);
  const at = playable.indexOf(track);
  // One command names no more than this; those before the chosen one are left out first.
  const from = Math.max(0, Math.min(at, playable.length - URIS_MAX));
  const uris = playable.slice(from, from + URIS_MAX).map((one) => one.uri);
  return { endpoint: "play" as const, uris, offset_index: at - from, ...hereIfNowhere() };
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
