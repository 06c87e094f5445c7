// Which page is shown: kept in the part of the address behind `#`, so that back and forward work.

import { signal } from "@preact/signals";

export type Shelf = "tracks" | "albums" | "artists" | "shows" | "recent";

export type Route =
  | { readonly page: "albums" }
  | { readonly page: "artists" }
  | { readonly page: "shows" }
  | { readonly page: "album"; readonly id: string }
  | { readonly page: "artist"; readonly id: string }
  | { readonly page: "show"; readonly id: string }
  | { readonly page: "search"; readonly words: string }
  | { readonly page: "library"; readonly shelf: Shelf }
  | { readonly page: "settings" }
  | { readonly page: "now" };

export const SHELVES: readonly Shelf[] = ["tracks", "albums", "artists", "shows", "recent"];

export const route = signal<Route>(parseRoute(location.hash));

addEventListener("hashchange", () => {
  const was = route.value;
  route.value = parseRoute(location.hash);
  // Words that are still being typed are one page.
  if (was.page !== "search" || route.value.page !== "search") scrollTo(0, 0);
});

export function parseRoute(hash: string): Route {
  const [, kind = "", rest = ""] = /^#\/([a-z]*)(?:\/(.*))?$/.exec(hash) ?? [];
  switch (kind) {
    case "album":
    case "artist":
    case "show":
      return /^[A-Za-z0-9]+$/.test(rest) ? { page: kind, id: rest } : { page: "albums" };
    case "search":
      return { page: "search", words: decoded(rest) };
    case "library":
      return { page: "library", shelf: SHELVES.find((shelf) => shelf === rest) ?? "tracks" };
    case "artists":
    case "shows":
    case "settings":
    case "now":
      return { page: kind };
    default:
      return { page: "albums" };
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const albumsHref = "#/";
export const artistsHref = "#/artists";
export const showsHref = "#/shows";
export const settingsHref = "#/settings";
export const nowHref = "#/now";
export const albumHref = (id: string): string => `#/album/${id}`;
export const artistHref = (id: string): string => `#/artist/${id}`;
export const showHref = (id: string): string => `#/show/${id}`;
export const libraryHref = (shelf: Shelf): string => `#/library/${shelf}`;
export const searchHref = (words: string): string => `#/search/${encodeURIComponent(words)}`;
