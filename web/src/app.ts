// Puts the parts together, once: link, engine, conductor, and the signals the pages read.

import { deviceId, muted, setOwnVolume, volumePercent } from "./session/device";
import { CommandFailed } from "./session/failure";
import { Link } from "./session/link";
import { applyPush, fromSnapshot, positionMs, resumeOf } from "./session/merge";
import { normalise } from "./session/preferences";
import { Rest } from "./session/rest";
import * as store from "./session/store";
import { Conductor } from "./player/conductor";
import { Engine } from "./player/engine";
import { Fetcher } from "./player/fetcher";
import { AudioGraph } from "./player/graph";
import { errorText } from "./pages/words";
import type { ServerFrame, SetVolume } from "./wire/frames";

/** Missed pushes follow a welcome at once; what this device did meanwhile is told behind them. */
const CAUGHT_UP_AFTER_MS = 250;
/** Our word and the session's crossed on the way: the state that follows settles it, the listener need not know. */
const CROSSED = new Set(["STALE_EPOCH", "STALE_ITEM", "NOT_ACTIVE", "RATE_LIMITED"]);

export interface App {
  readonly rest: Rest;
  readonly link: Link;
  readonly engine: Engine;
  readonly graph: AudioGraph;
  readonly conductor: Conductor;
}

export function createApp(): App {
  const rest = new Rest();
  const graph = new AudioGraph();
  graph.setVolume(volumePercent.value, muted.value);
  graph.setNormalise(normalise.value);

  const link: Link = new Link(
    rest,
    {
      status: (status) => (store.linkStatus.value = status),
      welcome: (frame) => {
        conductor.onWelcome();
        // What was missed follows, or a snapshot; a resume without anything missed has nothing to wait for.
        if (frame.resumed) setTimeout(() => conductor.onCaughtUp(), CAUGHT_UP_AFTER_MS);
      },
      frame: (frame) => take(frame),
      resume: () => resumeOf(store.view.value),
      playId: () => conductor.playId,
    },
    new URLSearchParams(location.search).get("wire") === "json",
  );

  const conductor = new Conductor(deviceId, link, graph, {
    blocked: (isBlocked) => (store.needsGesture.value = isBlocked),
    trouble: (text) => (store.playbackTrouble.value = text),
  });
  const fetcher = new Fetcher(conductor);
  const engine = new Engine(graph, fetcher, {
    advanced: (from, to, position) => conductor.onAdvanced(from, to, position),
    ended: () => conductor.onEnded(),
    changed: () => conductor.onChanged(),
    failed: (lease, why) => conductor.onFailed(lease, why),
    blocked: () => conductor.onBlocked(),
    fadeS: (from, to) => conductor.fadeS(from, to),
  });
  conductor.attach(engine, fetcher);

  function take(frame: ServerFrame): void {
    switch (frame.type) {
      case "snapshot":
        store.view.value = fromSnapshot(frame);
        conductor.onView(store.view.value, false);
        conductor.onCaughtUp();
        return;
      case "push": {
        const applied = applyPush(store.view.value, frame);
        if (applied.what === "hole") link.restart();
        if (applied.what !== "taken") return;
        store.view.value = applied.view;
        conductor.onView(applied.view, true);
        return;
      }
      case "set_volume":
        onSetVolume(frame);
        return;
      case "error":
        if (!CROSSED.has(frame.error.code)) store.toast(errorText(new CommandFailed(frame.error.code, frame.error.message)), true);
        return;
      default:
        conductor.onFrame(frame);
    }
  }

  function onSetVolume(frame: SetVolume): void {
    setOwnVolume(frame.volume_percent, frame.muted ?? false);
    graph.setVolume(volumePercent.value, muted.value);
  }

  rest.onSignedOut = () => {
    store.signedIn.value = false;
    link.close();
    conductor.reset();
    store.view.value = null;
  };
  store.signedIn.value = rest.signedIn;

  const unlock = (): void => void conductor.unlock();
  for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, unlock, { passive: true });

  const app = { rest, link, engine, graph, conductor };
  exposeForTests(app);
  return app;
}

/** What the browser tests look at; nothing in the page uses it. */
function exposeForTests({ link, engine, graph, conductor }: App): void {
  const segue = {
    state: () => structuredClone(store.view.value),
    status: () => store.linkStatus.value.what,
    deviceId,
    audioTime: () => engine.mediaTimeS,
    position: () => engine.positionMs,
    playing: () => engine.playing && !engine.buffering,
    bufferedMs: () => engine.bufferedMs,
    level: () => graph.level(),
    levels: () => engine.levels,
    loudness: () => engine.loudnessGain,
    due: () => (store.player.value ? positionMs(store.player.value, link.serverNowMs()) : 0),
    clock: () => link.clock.estimate,
    lastHandoff: () => store.player.value?.last_handoff ?? null,
    lastSwitch: () => conductor.handoff.lastSwitch,
    audioContext: () => graph.context.state,
    link: { drop: () => link.drop(), restore: () => link.restore() },
  };
  Object.assign(window, { __segue: segue });
}
