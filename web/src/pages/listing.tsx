// A listing as a wall of covers or as a list, with what to say while it is not there, empty or broken.

import type { ComponentChildren } from "preact";
import type { Image } from "../library/library";
import type { Listing } from "../library/paged";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Icon } from "./icons";

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
      {items?.length === 0 && (
        <p class="quiet empty">
          <Icon name="note" size={28} /> {empty}
        </p>
      )}
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
  /** What its play button plays. */
  readonly uri: string;
  readonly href: string;
  readonly title: string;
  readonly line: string;
  readonly images: readonly Image[] | undefined;
}

export function Tiles({ tiles, isRound = false }: { tiles: readonly TileOf[]; isRound?: boolean }) {
  const { run } = usePage();
  return (
    <ul class="grid">
      {tiles.map((tile) => (
        <li key={tile.id} class="tile-place">
          <a class={`tile ${isRound ? "of-artist" : ""}`} href={tile.href}>
            <Cover images={tile.images} pixels={220} />
            <span class="tile-title">{tile.title}</span>
            <span class="quiet">{tile.line}</span>
          </a>
          <button
            type="button"
            class="round tile-play"
            aria-label={`Play ${tile.title}`}
            title="Play"
            onClick={() => void run({ endpoint: "play", context_uri: tile.uri, ...hereIfNowhere() })}
          >
            <Icon name="play" size={22} />
          </button>
        </li>
      ))}
    </ul>
  );
}
