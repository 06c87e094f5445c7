// Plays a line of tracks as one unbroken sound: the current one and those that follow it are laid side by side on one
// media timeline (timeline.ts), filled a little ahead of the playhead and emptied a little behind it.
//
// Knows leases and bytes; knows nothing of sessions, devices or sockets. Positions are milliseconds of the current
// track as they are heard, output latency included.

import type { Lease } from "../wire/frames";
import { MediaBuffer } from "./buffer";
import type { Fetcher } from "./fetcher";
import { FetchFailed } from "./fetcher";
import type { AudioGraph } from "./graph";
import { Lockstep } from "./lockstep";
import type { Rendition } from "./manifest";
import type { Placement } from "./timeline";
import { bufferedAheadS, bytesOf, moved, place, segmentAt } from "./timeline";

const AHEAD_S = 30;
const BEHIND_S = 10;
/** Emptied in steps, since every removal costs the browser a walk through the buffer. */
const BEHIND_SLACK_S = 10;
const TRACKS_MAX = 4;
const TICK_MS = 50;
/** The loudness of the next track is put on the audio clock this long before its first sample. */
const LOUDNESS_AHEAD_S = 0.4;
/** What the decoder has already taken and would still play of a track that is removed. */
const DECODED_AHEAD_S = 1.5;
/** A shift takes effect this far ahead: behind everything that the decoder may hold by then. */
const SPLICE_AHEAD_S = 0.9;
const SPLICE_PLAYED_S = 0.05;
/** Between two items that do not follow each other, so that nothing of one can run into the other. */
const BETWEEN_S = 5;
const END_SLACK_S = 0.25;
const STALL_TICKS = 4;

export interface EngineEvents {
  /** Went on to the next track by itself; the position is the one right after the boundary. */
  advanced(from: Lease, to: Lease, positionMs: number): void;
  /** The last track has sounded to its end and nothing follows. */
  ended(lease: Lease): void;
  /** Playing, paused, buffering: something a listener would notice. */
  changed(): void;
  failed(lease: Lease, why: string): void;
  /** The browser wants a gesture before it lets this page sound. */
  blocked(): void;
}

interface Track {
  lease: Lease;
  rendition: Rendition | null;
  placement: Placement | null;
  init: ArrayBuffer | null;
  nextSegment: number;
  failed: boolean;
  /** Only what lies behind this place of the timeline is still appended; 0 without a splice. */
  appendFromS: number;
}

export class Engine {
  private buffer: MediaBuffer | null = null;
  private tracks: Track[] = [];
  /** Where the current track begins on the timeline, once it is placed; always behind everything placed before. */
  private frontierS = 0;
  private wanted = false;
  private stalled = false;
  private hasEnded = false;
  private setRate = 1;
  private readonly lockstep = new Lockstep();
  private abort = new AbortController();
  private wake: () => void = () => undefined;
  private timer = 0;
  private initOf: Track | null = null;
  private lastTimeS = -1;
  private stillTicks = 0;
  private loudnessScheduledFor: Track | null = null;
  /** Set while the element is being moved to a place that is not there yet. */
  private pendingMs: (() => number) | null = null;

  constructor(
    private readonly element: HTMLAudioElement,
    private readonly graph: AudioGraph,
    private readonly fetcher: Fetcher,
    private readonly events: EngineEvents,
  ) {
    element.preservesPitch = true;
    for (const name of ["playing", "waiting", "pause", "seeked"]) element.addEventListener(name, () => this.tick());
    for (const name of ["play", "pause", "waiting", "seeking", "seeked", "ratechange"]) {
      element.addEventListener(name, () => this.lockstep.clear());
    }
    element.addEventListener("error", () => this.broken());
  }

  // --- what it is doing --------------------------------------------------------------------------------------

  get playId(): string | null {
    return this.tracks[0]?.lease.play_id ?? null;
  }

  get lease(): Lease | null {
    return this.tracks[0]?.lease ?? null;
  }

  /** A listener would say that it plays, or is about to. */
  get playing(): boolean {
    return this.wanted && this.tracks.length > 0 && !this.hasEnded;
  }

  /** Should sound and does not yet, or is not known to: a session's position stands still until it surely moves. */
  get buffering(): boolean {
    return this.playing && (this.stalled || this.pendingMs !== null);
  }

  get atEnd(): boolean {
    return this.hasEnded;
  }

  /** Of the current track, as heard now. */
  get positionMs(): number {
    return this.positionMsAt(performance.now());
  }

  /** Of the current track, as heard at a time of the page's clock close to now. */
  positionMsAt(performanceMs: number): number {
    if (this.pendingMs !== null) return Math.max(0, this.pendingMs());
    const placement = this.tracks[0]?.placement;
    if (!placement) return 0;
    const { offsetS } = this.lockstep;
    let mediaS = this.element.currentTime;
    if (this.playing && offsetS !== null) mediaS = offsetS + this.graph.contextTimeAt(performanceMs);
    else if (this.playing && !this.stalled) {
      const agoS = this.graph.outputLatencyS - (performanceMs - performance.now()) / 1000;
      mediaS -= agoS * this.element.playbackRate;
    }
    return Math.max(0, Math.min(mediaS, placement.endS) - placement.startS) * 1000;
  }

  /** The sound flows, and where it is is known to the millisecond. Other speeds are not looked at so closely. */
  private get isSteady(): boolean {
    if (this.element.seeking || this.element.paused || this.element.readyState < 3) return false;
    return this.element.playbackRate !== 1 || this.lockstep.offsetS !== null;
  }

  /** Looks at both clocks; true when the position is known well. */
  watch(): boolean {
    const flows = this.playing && !this.element.seeking && !this.element.paused && this.element.readyState >= 3;
    if (flows && this.element.playbackRate === 1 && this.pendingMs === null) {
      this.lockstep.add(this.element.currentTime, this.graph.context.currentTime);
    } else {
      this.lockstep.clear();
    }
    return this.lockstep.offsetS !== null;
  }

  get bufferedMs(): number {
    if (this.buffer === null || this.pendingMs !== null) return 0;
    return Math.max(0, Math.round(bufferedAheadS(this.buffer.ranges, this.element.currentTime) * 1000));
  }

  /** Seconds of sound that have gone through the media clock; for tests. */
  get mediaTimeS(): number {
    return this.element.currentTime;
  }

  // --- what it is told -----------------------------------------------------------------------------------------

  /** Play (or hold) `lease` from a position that is asked for at the moment the sound can begin. */
  start(lease: Lease, positionMs: () => number, play: boolean): void {
    const index = this.tracks.findIndex((track) => track.lease.play_id === lease.play_id && !track.failed);
    const known = index > 0 ? this.tracks[index] : undefined;
    this.wanted = play;
    this.hasEnded = false;
    if (known?.placement && known.nextSegment > 0) {
      // It lies ready on the timeline: going there is a seek.
      this.tracks = this.tracks.slice(index);
      this.frontierS = known.placement.startS;
      this.applyLoudness(known);
      this.seek(positionMs());
      return;
    }
    this.halt();
    this.frontierS = Math.ceil(this.frontierS + BETWEEN_S);
    this.tracks = [newTrack(lease)];
    this.pendingMs = positionMs;
    this.run();
    this.applyPlay();
  }

  /** What follows the current track, in order. Items that are already there and still follow stay as they are. */
  setNext(leases: readonly Lease[]): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    const wanted = leases.slice(0, TRACKS_MAX - 1);
    let same = 0;
    while (same < wanted.length && this.tracks[same + 1]?.lease.play_id === wanted[same]?.play_id) same++;
    const removed = this.tracks.slice(same + 1);
    const kept = this.tracks.slice(0, same + 1);
    const stale = removed.find((track) => track.placement !== null);
    this.tracks = [...kept, ...wanted.slice(same).map(newTrack)];
    if (this.hasEnded && this.tracks.length > 1) this.hasEnded = false;
    if (stale?.placement) {
      this.restartPump();
      void this.cutOff(stale.placement.startS);
    }
    this.wake();
  }

  play(): void {
    this.wanted = true;
    if (this.element.paused) this.stalled = true;
    this.applyPlay();
  }

  pause(): void {
    this.wanted = false;
    this.element.pause();
    this.unscheduleLoudness();
    this.events.changed();
  }

  seek(positionMs: number): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    this.hasEnded = false;
    this.unscheduleLoudness();
    if (this.pendingMs !== null || current.rendition === null || current.placement === null || this.buffer === null) {
      // It is being filled already; that goes to the new place instead.
      this.pendingMs = () => positionMs;
      current.failed = false;
      this.wake();
      return;
    }
    const { placement, rendition } = current;
    const within = Math.min(Math.max(0, positionMs / 1000), placement.endS - placement.startS - 0.05);
    const atS = placement.startS + within;
    const ahead = bufferedAheadS(this.buffer.ranges, atS);
    if (ahead > 0.2 || (ahead > 0 && current.nextSegment >= rendition.segments.length)) {
      this.pendingMs = null;
      this.stalled = this.wanted;
      this.element.currentTime = atS;
      this.applyPlay();
      this.wake();
      return;
    }
    // Not there: everything is dropped and filled again from the segment that holds the position.
    this.halt();
    this.tracks = this.tracks.map((track, i) => (i === 0 ? track : newTrack(track.lease)));
    this.pendingMs = () => positionMs;
    current.appendFromS = 0;
    current.failed = false;
    this.run();
    this.applyPlay();
  }

  /** For speech. */
  setPlaybackRate(rate: number): void {
    this.setRate = rate;
    if (this.element.playbackRate !== rate) this.element.playbackRate = rate;
  }

  /**
   * Moves the music by `lateMs` along the timeline, without a break in the clock: what is `lateMs` ahead of where it
   * should be comes that much later. Resolves when the splice has been played. Only for an engine nobody hears.
   */
  async shift(lateMs: number): Promise<void> {
    const current = this.tracks[0];
    if (!current?.placement || current.rendition === null || this.buffer === null || this.pendingMs !== null) return;
    const spliceS = this.element.currentTime + SPLICE_AHEAD_S;
    const placement = moved(current.placement, lateMs / 1000);
    this.halt();
    current.placement = placement;
    current.appendFromS = spliceS;
    current.nextSegment = segmentAt(current.rendition, spliceS - placement.startS);
    this.frontierS = Math.max(this.frontierS, placement.endS);
    this.tracks = this.tracks.map((track, i) => (i === 0 ? track : newTrack(track.lease)));
    const { signal } = this.run(spliceS);
    while (!signal.aborted && this.playing && this.element.currentTime < spliceS + SPLICE_PLAYED_S) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  stop(): void {
    const was = this.tracks.length > 0;
    this.halt();
    this.tracks = [];
    this.wanted = false;
    this.hasEnded = false;
    this.pendingMs = null;
    clearInterval(this.timer);
    this.timer = 0;
    this.element.pause();
    this.setPlaybackRate(1);
    void this.buffer?.remove(0, Number.POSITIVE_INFINITY).catch(() => undefined);
    if (was) this.events.changed();
  }

  /** After new leases or a network that came back: tracks that had been given up are tried again. */
  retry(): void {
    for (const track of this.tracks) track.failed = false;
    this.wake();
  }

  // --- filling -------------------------------------------------------------------------------------------------

  /** Fills from now on, after throwing away what lies behind `emptyFromS`. */
  private run(emptyFromS = Number.POSITIVE_INFINITY): AbortController {
    this.abort = new AbortController();
    if (this.timer === 0) this.timer = window.setInterval(() => this.tick(), TICK_MS);
    void this.pump(this.abort.signal, this.pendingMs !== null ? 0 : emptyFromS);
    return this.abort;
  }

  private halt(): void {
    this.abort.abort();
    this.wake();
    this.unscheduleLoudness();
    this.initOf = null;
  }

  private restartPump(): void {
    this.halt();
    this.run();
  }

  private async pump(signal: AbortSignal, emptyFromS: number): Promise<void> {
    await this.buffer?.remove(emptyFromS, Number.POSITIVE_INFINITY).catch(() => undefined);
    while (!signal.aborted) {
      const track = this.trackToFill();
      if (track === null) {
        await new Promise<void>((resolve) => (this.wake = resolve));
        continue;
      }
      try {
        await this.fill(track, signal);
      } catch (error) {
        if (signal.aborted) return;
        track.failed = true;
        const why = error instanceof Error ? error.message : String(error);
        // What follows may still come right before it is needed; only the current track is worth a word now.
        if (track === this.tracks[0] || !(error instanceof FetchFailed)) this.events.failed(track.lease, why);
      }
    }
  }

  private trackToFill(): Track | null {
    if (this.pendingMs !== null && this.tracks[0]) return this.tracks[0].failed ? null : this.tracks[0];
    const open = this.tracks.find((track) => track.rendition === null || track.nextSegment < track.rendition.segments.length);
    if (open === undefined || open.failed) return null;
    if (this.pendingMs === null && this.bufferedMs > AHEAD_S * 1000) return null;
    return open;
  }

  private async fill(track: Track, signal: AbortSignal): Promise<void> {
    this.buffer ??= await MediaBuffer.open(this.element);
    const rendition = (track.rendition ??= await this.fetcher.rendition(track.lease, signal));
    signal.throwIfAborted();
    if (track.placement === null) {
      const before = this.tracks[this.tracks.indexOf(track) - 1];
      track.placement = place(rendition, before?.placement?.endS ?? this.frontierS);
      this.frontierS = Math.max(this.frontierS, track.placement.endS);
      if (before === undefined) this.applyLoudness(track);
    }
    const isFirst = track === this.tracks[0];
    if (isFirst && this.pendingMs !== null) {
      const lastS = musicS(rendition) - 0.05;
      track.nextSegment = segmentAt(rendition, Math.min(this.pendingMs() / 1000, lastS));
    }
    const { placement } = track;
    const index = track.nextSegment;
    const range = bytesOf(rendition, index, track.init === null);
    if (track.init === null && range.from > 0) {
      track.init = await this.fetcher.bytes(track.lease, rendition.file, { from: 0, to: rendition.initSize - 1 }, signal);
    }
    const data = await this.fetcher.bytes(track.lease, rendition.file, range, signal);
    track.init ??= data.slice(0, rendition.initSize);
    signal.throwIfAborted();
    const window = [Math.max(placement.startS, track.appendFromS), placement.endS] as const;
    if (this.initOf !== track && range.from > 0) await this.buffer.append(track.init, placement.timestampOffsetS, window);
    signal.throwIfAborted();
    await this.buffer.append(data, placement.timestampOffsetS, window);
    signal.throwIfAborted();
    this.initOf = track;
    track.nextSegment = index + 1;
    if (isFirst && this.pendingMs !== null) this.land(index, rendition, placement);
  }

  /** A segment is there: go to the wanted place, unless that moved out of this segment while it was fetched. */
  private land(index: number, rendition: Rendition, placement: Placement): void {
    const positionS = Math.max(0, (this.pendingMs?.() ?? 0) / 1000);
    const within = Math.min(positionS, placement.endS - placement.startS - 0.05);
    if (segmentAt(rendition, within) !== index) return;
    this.pendingMs = null;
    this.element.currentTime = placement.startS + within;
    this.lastTimeS = -1;
    this.applyPlay();
  }

  private async cutOff(fromS: number): Promise<void> {
    const near = fromS - this.element.currentTime < DECODED_AHEAD_S;
    await this.buffer?.remove(fromS, Number.POSITIVE_INFINITY).catch(() => undefined);
    // The decoder holds a little of what was removed; a seek to where it stands makes it forget.
    if (near && this.pendingMs === null && this.element.currentTime < fromS) this.element.currentTime += 0;
  }

  // --- the playhead --------------------------------------------------------------------------------------------

  private applyPlay(): void {
    if (!this.wanted || this.tracks.length === 0) {
      this.events.changed();
      return;
    }
    void this.graph.resume().then(async (running) => {
      if (!this.wanted) return;
      if (!running) {
        this.events.blocked();
        return;
      }
      if (this.element.playbackRate !== this.setRate) this.element.playbackRate = this.setRate;
      try {
        await this.element.play();
      } catch (error) {
        if (error instanceof DOMException && error.name === "NotAllowedError") this.events.blocked();
      }
      this.events.changed();
    });
  }

  private tick(): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    const nowS = this.element.currentTime;
    const { placement } = current;
    this.watch();
    if (placement !== null && this.pendingMs === null) {
      const next = this.tracks[1];
      if (next?.placement && nowS >= placement.endS) {
        this.goOn(current, next);
        return;
      }
      this.prepareLoudness(nowS, placement, next);
      this.noticeEnd(nowS, placement, next);
    }
    const stalled = this.wanted && !this.hasEnded && !this.isSteady;
    if (stalled !== this.stalled) {
      this.stalled = stalled;
      this.events.changed();
    }
    this.emptyBehind(nowS);
    this.wake();
  }

  private goOn(from: Track, to: Track): void {
    this.tracks.shift();
    // Scheduled on the audio clock already, unless the boundary came by a surprise.
    if (this.loudnessScheduledFor !== to) this.applyLoudness(to);
    this.loudnessScheduledFor = null;
    this.events.advanced(from.lease, to.lease, this.positionMs);
    this.wake();
  }

  private noticeEnd(nowS: number, placement: Placement, next: Track | undefined): void {
    if (!this.wanted || this.hasEnded) return;
    this.stillTicks = nowS === this.lastTimeS ? this.stillTicks + 1 : 0;
    this.lastTimeS = nowS;
    if (nowS < placement.endS - END_SLACK_S || this.element.seeking) return;
    const atEnd = nowS >= placement.endS || this.stillTicks >= STALL_TICKS;
    if (!atEnd || (next !== undefined && !next.failed)) return;
    this.hasEnded = true;
    this.wanted = false;
    this.element.pause();
    const { lease } = this.tracks[0] as Track;
    this.events.ended(lease);
    this.events.changed();
  }

  private emptyBehind(nowS: number): void {
    const first = this.buffer?.ranges[0];
    if (first === undefined || this.pendingMs !== null) return;
    if (nowS - first[0] > BEHIND_S + BEHIND_SLACK_S && !this.emptying) {
      this.emptying = true;
      void this.buffer
        ?.remove(0, nowS - BEHIND_S)
        .catch(() => undefined)
        .finally(() => (this.emptying = false));
    }
  }

  private emptying = false;

  // --- loudness ------------------------------------------------------------------------------------------------

  private applyLoudness(track: Track): void {
    this.graph.setLoudness(track.lease.gain_db);
  }

  private prepareLoudness(nowS: number, placement: Placement, next: Track | undefined): void {
    if (!next?.placement || !this.wanted || this.stalled || this.loudnessScheduledFor === next) return;
    const leftS = (placement.endS - nowS) / (this.element.playbackRate || 1);
    if (leftS > LOUDNESS_AHEAD_S || leftS < 0) return;
    this.graph.scheduleLoudness(next.lease.gain_db, this.graph.context.currentTime + leftS);
    this.loudnessScheduledFor = next;
  }

  private unscheduleLoudness(): void {
    const current = this.tracks[0];
    if (this.loudnessScheduledFor === null || current === undefined) return;
    this.loudnessScheduledFor = null;
    this.applyLoudness(current);
  }

  // --- repair --------------------------------------------------------------------------------------------------

  /** The element gave up on its source: a new one, from where we stood. */
  private broken(): void {
    const current = this.tracks[0];
    if (this.buffer === null) return;
    const at = this.positionMs;
    this.buffer.close();
    this.buffer = null;
    if (current === undefined) return;
    this.events.failed(current.lease, "the browser's decoder stopped; starting it again");
    const { lease } = current;
    const rest = this.tracks.slice(1).map((track) => track.lease);
    this.tracks = [];
    this.start(lease, () => at, this.wanted);
    this.setNext(rest);
  }
}

function musicS(rendition: Rendition): number {
  return rendition.pcmFrames / rendition.sampleRate;
}

function newTrack(lease: Lease): Track {
  return { lease, rendition: null, placement: null, init: null, nextSegment: 0, failed: false, appendFromS: 0 };
}
