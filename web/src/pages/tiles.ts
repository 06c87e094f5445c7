// Albums, artists and shows as tiles.

import type { Album, FullArtist, Show } from "../library/library";
import { artistNames } from "../library/library";
import type { TileOf } from "./listing";
import { albumHref, artistHref, showHref } from "./route";

export function albumTile(album: Album, line = artistNames(album.artists)): TileOf {
  return { id: album.id, uri: album.uri, href: albumHref(album.id), title: album.name, line, images: album.images };
}

export function artistTile(artist: FullArtist): TileOf {
  const line = artist.genres.slice(0, 2).join(", ");
  return { id: artist.id, uri: artist.uri, href: artistHref(artist.id), title: artist.name, line, images: artist.images };
}

export function showTile(show: Show): TileOf {
  return { id: show.id, uri: show.uri, href: showHref(show.id), title: show.name, line: show.publisher, images: show.images };
}

/** "2019", or nothing where the files do not say. */
export function yearOf(album: Album): string {
  const year = album.release_date.slice(0, 4);
  return year === "0000" ? "" : year;
}
