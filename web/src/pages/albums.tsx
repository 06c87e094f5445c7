// All albums, as a wall of covers.

import { useEffect, useState } from "preact/hooks";
import { artistNames } from "../library/library";
import { linkStatus } from "../session/store";
import { usePage } from "./context";
import { Cover } from "./cover";
import { albumHref } from "./route";
import { errorText } from "./words";

export function Albums() {
  const { library } = usePage();
  const [wrong, setWrong] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);

  const more = (): void => {
    setWrong(null);
    library.moreAlbums().catch((error: unknown) => setWrong(errorText(error)));
  };
  const isOnline = linkStatus.value.what === "online";
  useEffect(() => {
    if (library.albums.value === null) more();
  }, [attempt]);
  // What failed without a network is read when it is there again.
  useEffect(() => {
    if (isOnline && wrong !== null) more();
  }, [isOnline]);

  const albums = library.albums.value;
  return (
    <section aria-labelledby="albums-title">
      <h1 id="albums-title">Albums</h1>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}{" "}
          <button type="button" onClick={() => (albums === null ? setAttempt(attempt + 1) : more())}>
            Try again
          </button>
        </p>
      )}
      {albums === null && wrong === null && <p class="quiet">Fetching the albums…</p>}
      {albums?.length === 0 && <p class="quiet">There is no music here yet. Start the server with a folder of it.</p>}
      <ul class="grid">
        {albums?.map((album) => (
          <li key={album.id}>
            <a class="tile" href={albumHref(album.id)}>
              <Cover images={album.images} pixels={220} />
              <span class="tile-title">{album.name}</span>
              <span class="quiet">{artistNames(album.artists)}</span>
            </a>
          </li>
        ))}
      </ul>
      {library.hasMoreAlbums.value && (
        <button type="button" class="more" onClick={more}>
          Show more albums
        </button>
      )}
    </section>
  );
}
