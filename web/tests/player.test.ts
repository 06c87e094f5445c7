import { describe, expect, test } from "vitest";
import { FADE_IN, FADE_OUT, fadeBetween, fadeWithin } from "../src/player/crossfade";
import { Lockstep } from "../src/player/lockstep";
import { renditionOf, type Rendition } from "../src/player/manifest";
import { bufferedAheadS, bytesOf, moved, place, segmentAt } from "../src/player/timeline";
import type { PlayerState, QueueItem } from "../src/wire/frames";

const RATE = 44_100;
const DELAY = 1024;

/** 10 s and a bit of music in segments of about 4 s, as the packager makes them. */
const rendition: Rendition = {
  name: "aac-160",
  file: "aac-160.mp4",
  mime: 'audio/mp4; codecs="mp4a.40.2"',
  sampleRate: RATE,
  pcmFrames: 441_777,
  encoderDelay: DELAY,
  initSize: 700,
  segments: [
    { offset: 700, size: 80_000, startFrame: 0, frames: 177_152 },
    { offset: 80_700, size: 80_000, startFrame: 177_152, frames: 177_152 },
    { offset: 160_700, size: 40_000, startFrame: 354_304, frames: 89_088 },
  ],
};

describe("timeline", () => {
  test("the first frame of music falls on the start, the encoder's delay before it", () => {
    const at = place(rendition, 20);
    expect(at.timestampOffsetS + DELAY / RATE).toBeCloseTo(20, 9);
    expect(at.endS).toBeCloseTo(20 + 441_777 / RATE, 9);
  });

  test("a track begins exactly where the one before it ends", () => {
    const first = place(rendition, 5);
    const second = place(rendition, first.endS);
    expect(second.startS).toBe(first.endS);
  });

  test("moving music keeps its length and its place within the window", () => {
    const at = place(rendition, 20);
    const later = moved(at, 0.083);
    expect(later.endS - later.startS).toBeCloseTo(at.endS - at.startS, 9);
    expect(later.startS - later.timestampOffsetS).toBeCloseTo(at.startS - at.timestampOffsetS, 9);
  });

  test.each([
    [0, 0],
    [(177_152 - DELAY) / RATE - 0.001, 0],
    [(177_152 - DELAY) / RATE + 0.001, 1],
    [9.5, 2],
    [1e6, 2],
    [-3, 0],
  ])("position %d s lies in segment %i", (position, index) => {
    expect(segmentAt(rendition, position)).toBe(index);
  });

  test("the init part comes with the first segment in one request, and with no other", () => {
    expect(bytesOf(rendition, 0, true)).toEqual({ from: 0, to: 80_699 });
    expect(bytesOf(rendition, 0, false)).toEqual({ from: 700, to: 80_699 });
    expect(bytesOf(rendition, 1, true)).toEqual({ from: 80_700, to: 160_699 });
    expect(() => bytesOf(rendition, 3, false)).toThrow(RangeError);
  });

  test("what is ahead counts up to the first hole; a hole shorter than a frame is none", () => {
    expect(bufferedAheadS([[0, 10]], 4)).toBe(6);
    expect(bufferedAheadS([[0, 5], [5.01, 10]], 4)).toBe(6);
    expect(bufferedAheadS([[0, 5], [7, 10]], 4)).toBe(1);
    expect(bufferedAheadS([[7, 10]], 4)).toBe(0);
  });
});

describe("manifest", () => {
  const wire = (name: string, mime: string, segments = [[700, 10, 0, 1024]]) => ({
    name,
    file: `${name}.mp4`,
    mime,
    sample_rate: RATE,
    pcm_frames: 5,
    encoder_delay: DELAY,
    init_size: 700,
    segments,
  });
  const manifest = { renditions: [wire("vorbis-320", "audio/ogg", []), wire("aac-96", "audio/mp4"), wire("aac-160", "audio/mp4")] };

  test("the rendition of the lease is taken", () => {
    expect(renditionOf(manifest, "aac-160", () => true)).toMatchObject({ name: "aac-160", encoderDelay: DELAY, pcmFrames: 5 });
  });

  test("a lease of what has no segments falls back to what can be played", () => {
    expect(renditionOf(manifest, "vorbis-320", () => true).name).toBe("aac-96");
  });

  test("nothing playable is said with what was asked and what there is", () => {
    expect(() => renditionOf(manifest, "aac-160", () => false)).toThrow(/aac-160.*vorbis-320, aac-96/);
    expect(() => renditionOf(null, "aac-160", () => true)).toThrow(/nothing/);
  });
});

describe("lockstep", () => {
  test("is not known before it was looked at a few times", () => {
    const clocks = new Lockstep();
    for (let i = 0; i < 3; i++) clocks.add(10 + i, i);
    expect(clocks.offsetS).toBeNull();
    clocks.add(13, 3);
    expect(clocks.offsetS).toBe(10);
  });

  test("single readings that fell between two blocks do not move it", () => {
    const clocks = new Lockstep();
    for (let i = 0; i < 9; i++) clocks.add(10 + i - (i % 4 === 1 ? 0.003 : 0), i);
    expect(clocks.offsetS).toBe(10);
  });

  test("starts over when the sound was interrupted", () => {
    const clocks = new Lockstep();
    for (let i = 0; i < 9; i++) clocks.add(10 + i, i);
    clocks.add(9.5 + 9, 9);
    expect(clocks.offsetS).toBeNull();
    for (let i = 10; i < 14; i++) clocks.add(9.5 + i, i);
    expect(clocks.offsetS).toBe(9.5);
  });
});

describe("crossfade", () => {
  const item = (uid: string, provider = "context", more: Partial<QueueItem> = {}): QueueItem => ({ uid, uri: `spotify:track:${uid}`, provider, duration_ms: 200_000, ...more });
  const playing = (more: Partial<PlayerState>): PlayerState =>
    ({ track: item("a"), next_tracks: [item("b"), item("c", "queue")], prev_tracks: [], context_uri: null, shuffle: false, sleep_timer: null, ...more }) as PlayerState;
  const album = { context_uri: "spotify:album:x" };

  test("both gains together are equally loud all the way, from silence to full", () => {
    expect([FADE_IN[0], FADE_OUT[0]]).toEqual([0, 1]);
    for (const [at, share] of FADE_IN.entries()) expect(share ** 2 + (FADE_OUT[at] ?? 0) ** 2).toBeCloseTo(1, 5);
    expect(FADE_IN.at(-1)).toBeCloseTo(1, 6);
  });

  test.each<[string, Partial<PlayerState>, string, number]>([
    ["tracks from anywhere", {}, "b", 6],
    ["an album in its order", album, "b", 0],
    ["an album that is shuffled", { ...album, shuffle: true }, "b", 6],
    ["an album, into what the listener put in", album, "c", 6],
    ["a list of tracks of one album", { context_uri: "spotify:playlist:x" }, "b", 6],
    ["a timer that ends with the track", { sleep_timer: { end_of_track: true } }, "b", 0],
    ["speech", { next_tracks: [item("b", "context", { is_speech: true })] }, "b", 0],
  ])("%s", (_, state, to, seconds) => {
    expect(fadeBetween(6, playing(state), "a", to)).toBe(seconds);
    expect(fadeBetween(0, playing(state), "a", to)).toBe(0);
  });

  test("a fade takes at most half of either track", () => {
    expect(fadeWithin(12, 200, 200)).toBe(12);
    expect(fadeWithin(12, 200, 10)).toBe(5);
    expect(fadeWithin(12, 4, 10)).toBe(2);
  });
});
