// Names of artists, each leading to their page.

import type { Artist } from "../library/library";
import { artistHref } from "./route";

export function Credits({ artists }: { artists: readonly Artist[] | undefined }) {
  return (
    <>
      {(artists ?? []).map((artist, at) => (
        <span key={`${at} ${artist.id}`}>
          {at > 0 && ", "}
          {artist.id === "" ? artist.name : <a class="credit" href={artistHref(artist.id)}>{artist.name}</a>}
        </span>
      ))}
    </>
  );
}
