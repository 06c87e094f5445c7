// All albums, as a wall of covers.

import { useEffect, useState } from "preact/hooks";
import { linkStatus } from "../session/store";
import { usePage } from "./context";
import { Icon } from "./icons";
import { Tiles } from "./listing";
import { albumTile } from "./tiles";
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
      {albums?.length === 0 && (
        <p class="quiet empty">
          <Icon name="note" size={28} /> There is no music here yet. Start the server with a folder of it.
        </p>
      )}
      <Tiles tiles={(albums ?? []).map((album) => albumTile(album))} />
      {library.hasMoreAlbums.value && (
        <button type="button" class="more" onClick={more}>
          Show more albums
        </button>
      )}
    </section>
  );
}
