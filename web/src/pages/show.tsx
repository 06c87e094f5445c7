// What is spoken: all shows, and one with its episodes and how far each was heard.

import { useEffect, useState } from "preact/hooks";
import type { Episode, Show } from "../library/library";
import { clockText, lengthText } from "../library/library";
import type { Paged } from "../library/paged";
import { useListing } from "../library/paged";
import { player } from "../session/store";
import { hereIfNowhere, usePage } from "./context";
import { Cover } from "./cover";
import { Heart } from "./heart";
import { Icon } from "./icons";
import { ListingBody, Tiles } from "./listing";
import { Menu } from "./menu";
import { showsHref } from "./route";
import { showTile } from "./tiles";
import { errorText } from "./words";

export function Shows() {
  const shows = useListing<Paged<Show>, Show>("/v1/browse/shows?limit=50", (page) => page);
  return (
    <section aria-labelledby="shows-title">
      <h1 id="shows-title">Shows</h1>
      <ListingBody listing={shows} empty="Nothing spoken here: shows and audiobooks appear once the server has some.">
        {(items) => <Tiles tiles={items.map(showTile)} />}
      </ListingBody>
    </section>
  );
}

export function ShowPage({ id }: { id: string }) {
  const { app } = usePage();
  const [show, setShow] = useState<Show | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const episodes = useListing<Paged<Episode>, Episode>(`/v1/shows/${id}/episodes?limit=50`, (page) => page);
  useEffect(() => {
    let current = true;
    setShow(null);
    setWrong(null);
    app.rest.get<Show>(`/v1/shows/${id}`).then(
      (found) => current && setShow(found),
      (error: unknown) => current && setWrong(errorText(error)),
    );
    return () => {
      current = false;
    };
  }, [id]);

  return (
    <section aria-labelledby="show-title">
      <a class="back" href={showsHref}>
        <Icon name="back" size={16} /> All shows
      </a>
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
      {show !== null && (
        <header class="album-head">
          <Cover images={show.images} pixels={260} />
          <div>
            <p class="eyebrow">Show</p>
            <h1 id="show-title">{show.name}</h1>
            <p class="quiet">{show.publisher}</p>
            <div class="head-actions">
              <Heart uri={show.uri} name={show.name} size={22} />
            </div>
          </div>
        </header>
      )}
      <ListingBody listing={episodes} empty="No episodes.">
        {(items) => (
          <ol class="tracks" aria-label="Episodes">
            {items.map((episode) => (
              <EpisodeRow key={episode.id} episode={episode} showUri={`spotify:show:${id}`} />
            ))}
          </ol>
        )}
      </ListingBody>
    </section>
  );
}

function EpisodeRow({ episode, showUri }: { episode: Episode; showUri: string }) {
  const { run, enqueue } = usePage();
  const point = episode.resume_point;
  const heardMs = point === undefined || point.fully_played ? 0 : point.resume_position_ms;
  const line = point?.fully_played
    ? "Heard"
    : heardMs > 0
      ? `${lengthText(episode.duration_ms - heardMs)} left`
      : lengthText(episode.duration_ms);
  const play = (): void =>
    void run({ endpoint: "play", context_uri: showUri, offset_uri: episode.uri, position_ms: heardMs, ...hereIfNowhere() });
  return (
    <li class={player.value?.track?.uri === episode.uri ? "current" : ""}>
      <div class="row">
        <button type="button" class="row-main" disabled={episode.is_playable === false} onClick={play}>
          <span class="unseen">Play </span>
          <Cover images={episode.images} pixels={40} />
          <span class="row-text">
            <span class="row-title">{episode.name}</span>
            <span class="quiet">{line}</span>
            {heardMs > 0 && <progress aria-label={`Heard of ${episode.name}`} max={episode.duration_ms} value={heardMs} />}
          </span>
          <span class="quiet time">{clockText(episode.duration_ms)}</span>
        </button>
        <Heart uri={episode.uri} name={episode.name} />
        <Menu
          label={`More for ${episode.name}`}
          entries={[
            { label: "Play next", icon: "playNext", run: () => void enqueue(episode.uri, episode.name, true) },
            { label: "Add to the queue", icon: "add", run: () => void enqueue(episode.uri, episode.name) },
          ]}
        />
      </div>
    </li>
  );
}
