// What the page knows of its session: snapshots and pushes put together. Pure, and the same rules as `client/state.py`.

import type { Device, Handoff, PlayerState, Push, Resume, Snapshot } from "../wire/frames";

export interface View {
  readonly ownerEpoch: number;
  readonly seq: number;
  readonly player: PlayerState;
  readonly devices: readonly Device[];
  readonly handoff: Handoff | null;
}

export type Applied =
  | { readonly what: "taken"; readonly view: View }
  /** Of an older owner, or seen before: nothing changes. */
  | { readonly what: "stale" }
  /** A durable push is missing before this one: connect again and resume. */
  | { readonly what: "hole" };

export function fromSnapshot(frame: Snapshot): View {
  return {
    ownerEpoch: frame.owner_epoch,
    seq: frame.seq,
    player: frame.player,
    devices: frame.devices,
    handoff: frame.handoff,
  };
}

export function applyPush(view: View | null, push: Push): Applied {
  if (view === null) return { what: "hole" };
  const durable = push.durable ?? false;
  if (push.owner_epoch < view.ownerEpoch || push.seq < view.seq) return { what: "stale" };
  if (durable && push.seq === view.seq) return { what: "stale" };
  // A volatile push repeats the place it stands on; a durable one is the next place.
  if (push.seq > view.seq + (durable ? 1 : 0)) return { what: "hole" };
  return {
    what: "taken",
    view: {
      ownerEpoch: push.owner_epoch,
      seq: push.seq,
      player: push.player === undefined ? view.player : { ...view.player, ...push.player },
      devices: push.devices ?? view.devices,
      handoff: push.handoff === undefined ? view.handoff : push.handoff,
    },
  };
}

export function resumeOf(view: View | null): Resume | undefined {
  return view === null ? undefined : { owner_epoch: view.ownerEpoch, seq: view.seq };
}

/** Where the playhead is at server time `nowMs`. Holds still while not playing and never leaves the track. */
export function positionMs(player: PlayerState, nowMs: number): number {
  const elapsedMs = Math.max(0, nowMs - player.timestamp);
  const position = player.position_as_of_timestamp + elapsedMs * player.playback_speed;
  return Math.min(Math.max(0, position), player.duration);
}
