// Which page is shown: kept in the part of the address behind `#`, so that back and forward work.

import { signal } from "@preact/signals";

export type Route = { readonly page: "albums" } | { readonly page: "album"; readonly id: string };

export const route = signal<Route>(parseRoute(location.hash));

addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
  scrollTo(0, 0);
});

export function parseRoute(hash: string): Route {
  const id = /^#\/album\/([A-Za-z0-9]+)$/.exec(hash)?.[1];
  return id === undefined ? { page: "albums" } : { page: "album", id };
}

export const albumsHref = "#/";
export const albumHref = (id: string): string => `#/album/${id}`;
