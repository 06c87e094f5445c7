// What plays, large: the cover, a long slider, how it sounds, and what comes next.

import { artistNames, clockText, coverUrl } from "../library/library";
import { isHere, player } from "../session/store";
import { usePage } from "./context";
import { Cover } from "./cover";
import { Credits } from "./credits";
import { Heart } from "./heart";
import { Icon } from "./icons";
import { Meter } from "./meter";
import { PanelButton, Position, Transport, Volume, WhereStrip } from "./now_playing";
import { albumHref, albumsHref } from "./route";
import { SleepButton, SpeedButton } from "./timing";

const NEXT_SHOWN = 5;
/** Blurred beyond recognition: the smallest picture will do. */
const GLOW_PIXELS = 64;

export function LargePlayer() {
  const { library, run } = usePage();
  const state = player.value;
  const item = state?.track ?? null;
  const track = item === null ? undefined : library.track(item.uri);
  const next = (state?.next_tracks ?? []).slice(0, NEXT_SHOWN);
  const glow = coverUrl(track?.album?.images ?? track?.images, GLOW_PIXELS);
  // Back to where one came from, which is not this page when it was opened by its address.
  const close = (event: Event): void => {
    if (history.length <= 1) return;
    event.preventDefault();
    history.back();
  };

  return (
    <section class="now" aria-labelledby="now-title">
      {glow !== null && <img class="now-glow" src={glow} alt="" />}
      <header class="now-top">
        <a class="round-link" href={albumsHref} aria-label="Back to the music" title="Back" onClick={close}>
          <Icon name="down" size={24} />
        </a>
        <p class="eyebrow">{item === null ? "" : state?.is_playing ? "Now playing" : "Paused"}</p>
        <span class="now-tools">
          <SpeedButton />
          <SleepButton />
          <PanelButton panel="queue" label="Queue" />
          <PanelButton panel="devices" label="Devices" />
        </span>
      </header>
      <div class="now-main">
        <Cover images={track?.album?.images ?? track?.images} pixels={640} />
        <div class="now-side">
          <div class="now-names">
            <div class="row-text">
              <h1 id="now-title">{item === null ? "Nothing is playing" : (track?.name ?? "…")}</h1>
              <p class="now-artist">
                <Credits artists={track?.artists} />
              </p>
              {track?.album !== undefined && (
                <p class="quiet">
                  <a class="credit" href={albumHref(track.album.id)}>
                    {track.album.name}
                  </a>
                </p>
              )}
            </div>
            {item !== null && track !== undefined && <Heart uri={item.uri} name={track.name} size={24} />}
          </div>
          {isHere.value ? <Meter /> : <div class="meter" />}
          <div class="now-position">
            <Position />
          </div>
          <div class="now-transport">
            <Transport />
          </div>
          <div class="now-volume">
            <Volume />
          </div>
          <WhereStrip />
        </div>
      </div>
      {next.length > 0 && (
        <section class="now-next" aria-label="What comes next">
          <h2>What comes next</h2>
          <ol class="items">
            {next.map((one) => {
              const known = library.track(one.uri);
              return (
                <li key={one.uid} class="item">
                  <button type="button" class="item-main" onClick={() => void run({ endpoint: "play_item", uid: one.uid })}>
                    <span class="unseen">Play now: </span>
                    <Cover images={known?.album?.images ?? known?.images} pixels={40} />
                    <span class="row-text">
                      <span class="row-title">{known?.name ?? "…"}</span>
                      <span class="quiet">{one.reason?.text ?? artistNames(known?.artists)}</span>
                    </span>
                    <span class="quiet time">{clockText(one.duration_ms)}</span>
                  </button>
                </li>
              );
            })}
          </ol>
        </section>
      )}
    </section>
  );
}
