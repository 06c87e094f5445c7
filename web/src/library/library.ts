// What there is to play, as the server's REST tells it, kept while the page is open. Names follow the Spotify Web API.

import { signal } from "@preact/signals";
import type { Rest } from "../session/rest";

export interface Image {
  url: string;
  width: number | null;
  height: number | null;
}

export interface Artist {
  id: string;
  name: string;
}

export interface FullArtist extends Artist {
  uri: string;
  images: readonly Image[];
  genres: readonly string[];
}

export interface Show {
  id: string;
  uri: string;
  name: string;
  publisher: string;
  images: readonly Image[];
  total_episodes: number;
}

export interface Episode {
  id: string;
  uri: string;
  name: string;
  duration_ms: number;
  images: readonly Image[];
  is_playable?: boolean;
  resume_point?: { fully_played: boolean; resume_position_ms: number };
  show?: Show;
}

export interface Album {
  id: string;
  uri: string;
  name: string;
  artists: readonly Artist[];
  images: readonly Image[];
  release_date: string;
  total_tracks: number;
}

export interface Track {
  id: string;
  uri: string;
  name: string;
  artists: readonly Artist[];
  duration_ms: number;
  track_number: number;
  disc_number: number;
  explicit?: boolean;
  is_playable?: boolean;
  album?: Album;
  /** Of an episode, which has no album. */
  images?: readonly Image[];
}

export interface FullAlbum extends Album {
  tracks: { items: readonly Track[]; next: string | null };
}

interface AlbumPage {
  items: readonly Album[];
  cursors?: { after: string | null };
}

interface TrackPage {
  items: readonly Track[];
  next: string | null;
}

const PAGE_SIZE = 50;
const IDS_PER_REQUEST = 50;
const TRACKS_KEPT = 2_000;
const ALBUMS_KEPT = 100;
const ALBUM_PAGES_MAX = 40;

export class Library {
  readonly albums = signal<readonly Album[] | null>(null);
  readonly hasMoreAlbums = signal(false);
  /** By URI. Replaced as a whole when something comes in, so that whoever reads it is told. */
  readonly tracks = signal<ReadonlyMap<string, Track>>(new Map());
  private after: string | null = null;
  private loading = false;
  private readonly full = new Map<string, FullAlbum>();
  private wanted = new Set<string>();
  private readonly asked = new Set<string>();

  constructor(private readonly rest: Rest) {}

  clear(): void {
    this.albums.value = null;
    this.after = null;
    this.full.clear();
    this.asked.clear();
  }

  async moreAlbums(): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    try {
      const cursor = this.after === null ? "" : `&after=${encodeURIComponent(this.after)}`;
      const page = await this.rest.get<AlbumPage>(`/v1/browse/albums?limit=${PAGE_SIZE}${cursor}`);
      this.albums.value = [...(this.albums.value ?? []), ...page.items];
      this.after = page.cursors?.after ?? null;
      this.hasMoreAlbums.value = this.after !== null;
    } finally {
      this.loading = false;
    }
  }

  async album(id: string): Promise<FullAlbum> {
    const known = this.full.get(id);
    if (known !== undefined) return known;
    const album = await this.rest.get<FullAlbum>(`/v1/albums/${encodeURIComponent(id)}`);
    const items = [...album.tracks.items];
    let next = album.tracks.next;
    for (let page = 0; next !== null && page < ALBUM_PAGES_MAX; page++) {
      const more = await this.rest.get<TrackPage>(
        `/v1/albums/${encodeURIComponent(id)}/tracks?limit=${PAGE_SIZE}&offset=${items.length}`,
      );
      items.push(...more.items);
      next = more.next;
    }
    const whole = { ...album, tracks: { items, next: null } };
    this.full.set(id, whole);
    for (const oldest of this.full.keys()) {
      if (this.full.size <= ALBUMS_KEPT) break;
      this.full.delete(oldest);
    }
    const { tracks: _, ...plain } = whole;
    this.keep(items.map((track) => ({ ...track, album: plain })));
    return whole;
  }

  /** Known by now, or asked for together with others that are asked for in the same moment. */
  track(uri: string): Track | undefined {
    const known = this.tracks.value.get(uri);
    if (known === undefined && !this.asked.has(uri)) {
      this.asked.add(uri);
      if (this.wanted.size === 0) setTimeout(() => void this.fetchWanted(), 10);
      this.wanted.add(uri);
    }
    return known;
  }

  private async fetchWanted(): Promise<void> {
    const uris = [...this.wanted];
    this.wanted = new Set();
    for (let i = 0; i < uris.length; i += IDS_PER_REQUEST) {
      const chunk = uris.slice(i, i + IDS_PER_REQUEST);
      try {
        this.keep([...(await this.fetch("track", chunk)), ...(await this.fetch("episode", chunk))]);
      } catch {
        // Asked again when it is shown the next time.
        for (const uri of chunk) this.asked.delete(uri);
      }
    }
  }

  private async fetch(kind: "track" | "episode", uris: readonly string[]): Promise<readonly Track[]> {
    const ids = uris.filter((uri) => uri.split(":")[1] === kind).map((uri) => uri.split(":")[2]);
    if (ids.length === 0) return [];
    const answer = await this.rest.get<Record<string, readonly (Track | Episode | null)[]>>(`/v1/${kind}s?ids=${ids.join(",")}`);
    return (answer[`${kind}s`] ?? []).flatMap((one) => (one === null ? [] : "artists" in one ? [one] : [episodeAsTrack(one)]));
  }

  /** What a listing brought along need not be asked for again. */
  learn(tracks: readonly Track[]): void {
    this.keep(tracks.filter((track) => track.album !== undefined));
  }

  private keep(tracks: readonly Track[]): void {
    const all = new Map(this.tracks.value);
    for (const track of tracks) {
      all.delete(track.uri);
      all.set(track.uri, track);
      this.asked.add(track.uri);
    }
    for (const oldest of all.keys()) {
      if (all.size <= TRACKS_KEPT) break;
      all.delete(oldest);
      this.asked.delete(oldest);
    }
    this.tracks.value = all;
  }
}

/** The smallest picture that is still sharp at `pixels`, else the largest there is. */
export function coverUrl(images: readonly Image[] | undefined, pixels: number): string | null {
  if (images === undefined || images.length === 0) return null;
  const bySize = [...images].sort((a, b) => (a.width ?? 0) - (b.width ?? 0));
  return (bySize.find((image) => (image.width ?? 0) >= pixels) ?? bySize[bySize.length - 1])?.url ?? null;
}

/** For what shows tracks and episodes side by side. */
export function episodeAsTrack(episode: Episode): Track {
  const { id, uri, name, duration_ms, images, show } = episode;
  const artists = show === undefined ? [] : [{ id: "", name: show.name }];
  return { id, uri, name, duration_ms, images, artists, track_number: 0, disc_number: 1, is_playable: episode.is_playable ?? true };
}

/** Null for an episode, or while the track is not known. */
export function albumOf(track: Track | undefined): Album | null {
  return track?.album ?? null;
}

export function artistNames(artists: readonly Artist[] | undefined): string {
  return (artists ?? []).map((artist) => artist.name).join(", ");
}

/** `3:07`, or `1:02:09` from an hour on. */
export function clockText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const tail = String(s).padStart(2, "0");
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
}

/** `42 min`, or `1 h 5 min`. */
export function lengthText(ms: number): string {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes} min`;
}
