import { describe, expect, test } from "vitest";
import { afterClose, BACKOFF_FIRST_MS, BACKOFF_MAX_MS, backoffMs } from "../src/session/backoff";
import { ClockFilter } from "../src/session/clock";
import { applyPush, fromSnapshot, positionMs, resumeOf, type View } from "../src/session/merge";
import type { PlayerState, Push } from "../src/wire/frames";

const player: PlayerState = {
  session_id: "s",
  device_epoch: 3,
  active_device_id: "a",
  is_playing: true,
  is_paused: false,
  is_buffering: false,
  position_as_of_timestamp: 10_000,
  timestamp: 1_000_000,
  playback_speed: 1,
  set_speed: 1,
  playhead_version: 5,
  started_playing_at: null,
  track: null,
  play_id: null,
  duration: 60_000,
  context_uri: null,
  context_revision: null,
  prev_tracks: [],
  next_tracks: [],
  queue_version: { major: 1, minor: 0 },
  can_undo: false,
  can_restore_queue: false,
  shuffle: false,
  repeat: "off",
  sleep_timer: null,
  disallows: {},
  last_handoff: null,
};

const view: View = fromSnapshot({ type: "snapshot", owner_epoch: 2, seq: 7, player, devices: [], handoff: null, reason: "hello" });
const push = (fields: Partial<Push>): Push => ({ type: "push", owner_epoch: 2, seq: 7, ...fields });

describe("clock filter", () => {
  test("believes the ping with the shortest way there and back", () => {
    const clock = new ClockFilter();
    clock.add(1000, 520, 520, 1040); // 40 ms there and back, device 500 ahead
    clock.add(2000, 1600, 1600, 2200); // 200 ms, off by 60
    expect(clock.estimate).toEqual({ offsetMs: 500, rttMs: 40, errorMs: 20 });
  });

  test("does not count the time that the server took", () => {
    const clock = new ClockFilter();
    clock.add(1000, 510, 610, 1120);
    expect(clock.estimate).toEqual({ offsetMs: 500, rttMs: 20, errorMs: 10 });
  });

  test("forgets a good sample after eight others, since clocks drift", () => {
    const clock = new ClockFilter();
    clock.add(0, 0, 0, 1);
    for (let i = 0; i < 8; i++) clock.add(1000, 1100, 1100, 1020);
    expect(clock.estimate?.rttMs).toBe(20);
  });

  test("drops a sample that runs backwards", () => {
    const clock = new ClockFilter();
    clock.add(1000, 0, 500, 1100);
    clock.add(1000, 0, 0, 900);
    expect(clock.estimate).toBeNull();
  });

  test("has the welcome's rough value until a pong came", () => {
    const clock = new ClockFilter();
    clock.begin(400, 1000);
    expect(clock.offsetMs).toBe(600);
    clock.add(1000, 505, 505, 1010);
    expect(clock.offsetMs).toBe(500);
  });
});

describe("coming back", () => {
  test("waits anywhere between nothing and a bound that doubles up to half a minute", () => {
    expect(backoffMs(0, () => 1)).toBe(BACKOFF_FIRST_MS);
    expect(backoffMs(3, () => 1)).toBe(8 * BACKOFF_FIRST_MS);
    expect(backoffMs(3, () => 0)).toBe(0);
    expect(backoffMs(500, () => 1)).toBe(BACKOFF_MAX_MS);
  });

  test.each([
    [1006, "reconnect"],
    [1013, "reconnect"],
    [4000, "reconnect"],
    [4499, "reconnect"],
    [4500, "stop"],
    [4503, "new_ticket"],
    [4504, "stop"],
    [4999, "stop"],
  ])("close code %i means %s", (code, what) => expect(afterClose(code)).toBe(what));
});

describe("state", () => {
  test("a push changes only what it carries", () => {
    const applied = applyPush(view, push({ player: { is_playing: false, is_paused: true } }));
    expect(applied).toEqual({ what: "taken", view: { ...view, player: { ...player, is_playing: false, is_paused: true } } });
  });

  test("a durable push takes the next place, a volatile one stands where we are", () => {
    const durable = applyPush(view, push({ seq: 8, durable: true, player: { shuffle: true } }));
    expect(durable.what === "taken" && durable.view.seq).toBe(8);
    const volatile = applyPush(view, push({ devices: [] }));
    expect(volatile.what === "taken" && volatile.view.seq).toBe(7);
  });

  test("a missing durable push is a hole", () => {
    expect(applyPush(view, push({ seq: 9, durable: true })).what).toBe("hole");
    expect(applyPush(view, push({ seq: 8 })).what).toBe("hole");
    expect(applyPush(null, push({})).what).toBe("hole");
  });

  test("what was seen before, or comes from an older owner, changes nothing", () => {
    expect(applyPush(view, push({ seq: 7, durable: true })).what).toBe("stale");
    expect(applyPush(view, push({ seq: 6 })).what).toBe("stale");
    expect(applyPush(view, push({ owner_epoch: 1 })).what).toBe("stale");
  });

  test("a handoff that is over is taken away by a null, and kept when the push is silent", () => {
    const handoff = { handoff_id: "h", from_device_id: null, to_device_id: "b", phase: "preparing", deadline_at_ms: 1 } as const;
    const under = applyPush(view, push({ handoff }));
    if (under.what !== "taken") throw new Error(under.what);
    expect(under.view.handoff).toEqual(handoff);
    const kept = applyPush(under.view, push({ devices: [] }));
    expect(kept.what === "taken" && kept.view.handoff).toEqual(handoff);
    const gone = applyPush(under.view, push({ handoff: null }));
    expect(gone.what === "taken" && gone.view.handoff).toBeNull();
  });

  test("a resume names the place, and there is none before the first snapshot", () => {
    expect(resumeOf(view)).toEqual({ owner_epoch: 2, seq: 7 });
    expect(resumeOf(null)).toBeUndefined();
  });

  test("the position goes on with server time, stands while nothing flows, and never leaves the track", () => {
    expect(positionMs(player, 1_002_000)).toBe(12_000);
    expect(positionMs({ ...player, playback_speed: 1.5 }, 1_002_000)).toBe(13_000);
    expect(positionMs({ ...player, playback_speed: 0 }, 1_002_000)).toBe(10_000);
    expect(positionMs(player, 9_000_000)).toBe(60_000);
    expect(positionMs(player, 999_000)).toBe(10_000);
  });
});
