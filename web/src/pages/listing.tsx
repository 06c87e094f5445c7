// A listing as a wall of covers or as a list, with what to say while it is not there, empty or broken.

import type { ComponentChildren } from "preact";
import type { Image } from "../library/library";
import type { Listing } from "../library/paged";
import { Cover } from "./cover";

interface Props<T> {
  listing: Listing<T>;
  empty: string;
  children: (items: readonly T[]) => ComponentChildren;
}

export function ListingBody<T>({ listing, empty, children }: Props<T>) {
  const { items, wrong, more } = listing;
  return (
    <>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}{" "}
          {more !== null && (
            <button type="button" onClick={more}>
              Try again
            </button>
          )}
        </p>
      )}
      {items === null && wrong === null && <p class="quiet waiting">Fetching…</p>}
      {items?.length === 0 && <p class="quiet waiting">{empty}</p>}
      {items !== null && items.length > 0 && children(items)}
      {items !== null && more !== null && wrong === null && (
        <button type="button" class="more" onClick={more}>
          Show more
        </button>
      )}
    </>
  );
}

export interface TileOf {
  readonly id: string;
  readonly href: string;
  readonly title: string;
  readonly line: string;
  readonly images: readonly Image[] | undefined;
}

export function Tiles({ tiles, isRound = false }: { tiles: readonly TileOf[]; isRound?: boolean }) {
  return (
    <ul class="grid">
      {tiles.map((tile) => (
        <li key={tile.id}>
          <a class={`tile ${isRound ? "of-artist" : ""}`} href={tile.href}>
            <Cover images={tile.images} pixels={220} />
            <span class="tile-title">{tile.title}</span>
            <span class="quiet">{tile.line}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}
