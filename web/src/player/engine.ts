// Plays a line of tracks as one unbroken sound: the current one and those that follow it are laid side by side on one
// media timeline (timeline.ts), filled a little ahead of the playhead and emptied a little behind it.
//
// Where one track is to fade into the next, that one lies on the other of two decks (decks.ts).
//
// Knows leases and bytes; knows nothing of sessions, devices or sockets. Positions are milliseconds of the current
// track as they are heard, output latency included.

import type { Lease } from "../wire/frames";
import { fadeWithin } from "./crossfade";
import type { Deck } from "./deck";
import { Decks } from "./decks";
import type { Fetcher } from "./fetcher";
import { FetchFailed } from "./fetcher";
import type { AudioGraph } from "./graph";
import type { Rendition } from "./manifest";
import type { Placement } from "./timeline";
import { bytesOf, moved, place, segmentAt } from "./timeline";

const AHEAD_S = 30;
const TRACKS_MAX = 4;
const TICK_MS = 50;
/** The loudness of the next track is put on the audio clock this long before its first sample. */
const LOUDNESS_AHEAD_S = 0.4;
/** What the decoder has already taken and would still play of a track that is removed. */
const DECODED_AHEAD_S = 1.5;
/** A shift takes effect this far ahead: behind everything that the decoder may hold by then. */
const SPLICE_AHEAD_S = 0.9;
const SPLICE_PLAYED_S = 0.05;
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
  /** Seconds for which the one fades into the other; 0 lets it follow without a gap. */
  fadeS(from: Lease, to: Lease): number;
}

interface Track {
  lease: Lease;
  rendition: Rendition | null;
  /** Null as long as it is not known where it goes. */
  deck: Deck | null;
  placement: Placement | null;
  /** How long the track before it fades into it; 0 when it lies on the deck of that one. */
  fadeS: number;
  init: ArrayBuffer | null;
  nextSegment: number;
  failed: boolean;
  /** Only what lies behind this place of the timeline is still appended; 0 without a splice. */
  appendFromS: number;
}

export class Engine {
  private tracks: Track[] = [];
  private readonly decks: Decks;
  private wanted = false;
  private stalled = false;
  private hasEnded = false;
  private setRate = 1;
  private abort = new AbortController();
  private wake: () => void = () => undefined;
  private timer = 0;
  private lastTimeS = -1;
  private stillTicks = 0;
  private loudnessScheduledFor: Track | null = null;
  /** Set while the element is being moved to a place that is not there yet. */
  private pendingMs: (() => number) | null = null;

  constructor(
    private readonly graph: AudioGraph,
    private readonly fetcher: Fetcher,
    private readonly events: EngineEvents,
  ) {
    this.decks = new Decks(
      graph,
      () => this.tick(),
      (deck) => this.broken(deck),
    );
  }

  /** The one that the current track lies on. */
  private get deck(): Deck {
    return this.decks.current;
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
    const { offsetS } = this.deck.lockstep;
    let mediaS = this.deck.timeS;
    if (this.playing && offsetS !== null) mediaS = offsetS + this.graph.contextTimeAt(performanceMs);
    else if (this.playing && !this.stalled) {
      const agoS = this.graph.outputLatencyS - (performanceMs - performance.now()) / 1000;
      mediaS -= agoS * this.deck.element.playbackRate;
    }
    return Math.max(0, Math.min(mediaS, placement.endS) - placement.startS) * 1000;
  }

  /** Looks at both clocks; true when the position is known well. */
  watch(): boolean {
    return this.deck.watch(this.playing && this.pendingMs === null);
  }

  /** Of music that is there to be heard from now on, whichever deck it lies on. */
  get bufferedMs(): number {
    if (this.pendingMs !== null) return 0;
    let aheadS = this.deck.aheadS(this.deck.timeS);
    for (const [at, track] of this.tracks.entries()) {
      if (at > 0 && track.deck && track.placement && track.fadeS > 0) aheadS += track.deck.aheadS(track.placement.startS);
    }
    return Math.max(0, Math.round(aheadS * 1000));
  }

  /** Seconds of sound that have gone through the media clock; for tests. */
  get mediaTimeS(): number {
    return this.deck.timeS;
  }

  /** Of the current track, and of the one that fades in or out beside it; for tests. */
  get levels(): readonly [number, number] {
    return [this.deck.channel.level(), this.decks.other.channel.level()];
  }

  get loudnessGain(): number {
    return this.deck.channel.loudnessGain;
  }

  // --- what it is told -----------------------------------------------------------------------------------------

  /** Play (or hold) `lease` from a position that is asked for at the moment the sound can begin. */
  start(lease: Lease, positionMs: () => number, play: boolean): void {
    const index = this.tracks.findIndex((track) => track.lease.play_id === lease.play_id && !track.failed);
    const known = index > 0 ? this.tracks[index] : undefined;
    this.wanted = play;
    this.hasEnded = false;
    if (known?.placement && known.deck && known.nextSegment > 0) {
      // It lies ready on a timeline: going there is a seek.
      this.decks.endFade();
      this.tracks = this.tracks.slice(index);
      if (known.deck !== this.deck) this.decks.change();
      this.applyLoudness(known);
      this.seek(positionMs());
      return;
    }
    this.halt();
    this.decks.endFade();
    this.deck.beginAnew();
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
    while (same < wanted.length && this.tracks[same + 1]?.lease.play_id === wanted[same]?.play_id && this.joins(same + 1)) same++;
    const removed = this.tracks.slice(same + 1);
    const kept = this.tracks.slice(0, same + 1);
    const stale = removed.filter((track) => track.placement !== null);
    if (same === 0 && this.decks.isEntering) this.decks.endFade();
    this.tracks = [...kept, ...wanted.slice(same).map(newTrack)];
    if (this.hasEnded && this.tracks.length > 1) this.hasEnded = false;
    if (stale.length > 0) {
      this.halt();
      this.run();
      for (const deck of this.decks.both) {
        const first = stale.find((track) => track.deck === deck);
        if (first?.placement) void this.cutOff(deck, first.placement.startS);
      }
    }
    this.wake();
  }

  /** Whether the track at `index` lies where it should, as one that is faded into or one that follows without a gap. */
  private joins(index: number): boolean {
    const [before, track] = [this.tracks[index - 1], this.tracks[index]];
    if (!before?.rendition || !track?.rendition || track.placement === null) return true;
    const fadeS = this.fadeOf(before, before.rendition, track, track.rendition);
    if (fadeS > 0 !== track.fadeS > 0) return false;
    track.fadeS = fadeS;
    return true;
  }

  private fadeOf(before: Track, beforeRendition: Rendition, track: Track, rendition: Rendition): number {
    return fadeWithin(this.events.fadeS(before.lease, track.lease), musicS(beforeRendition), musicS(rendition));
  }

  play(): void {
    this.wanted = true;
    if (this.deck.element.paused) this.stalled = true;
    this.applyPlay();
  }

  pause(): void {
    this.wanted = false;
    this.decks.endFade();
    this.deck.element.pause();
    this.unscheduleLoudness();
    this.events.changed();
  }

  seek(positionMs: number): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    this.hasEnded = false;
    this.decks.endFade();
    this.unscheduleLoudness();
    if (this.pendingMs !== null || current.rendition === null || current.placement === null) {
      // It is being filled already; that goes to the new place instead.
      this.pendingMs = () => positionMs;
      current.failed = false;
      this.wake();
      return;
    }
    const { placement, rendition } = current;
    const within = Math.min(Math.max(0, positionMs / 1000), placement.endS - placement.startS - 0.05);
    const atS = placement.startS + within;
    const ahead = this.deck.aheadS(atS);
    if (ahead > 0.2 || (ahead > 0 && current.nextSegment >= rendition.segments.length)) {
      this.pendingMs = null;
      this.stalled = this.wanted;
      this.deck.element.currentTime = atS;
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
    this.deck.setRate(rate);
  }

  /**
   * Moves the music by `lateMs` along the timeline, without a break in the clock: what is `lateMs` ahead of where it
   * should be comes that much later. Resolves when the splice has been played. Only for an engine nobody hears.
   */
  async shift(lateMs: number): Promise<void> {
    const current = this.tracks[0];
    if (!current?.placement || current.rendition === null || this.pendingMs !== null) return;
    this.decks.endFade();
    const spliceS = this.deck.timeS + SPLICE_AHEAD_S;
    const placement = moved(current.placement, lateMs / 1000);
    this.halt();
    current.placement = placement;
    current.appendFromS = spliceS;
    current.nextSegment = segmentAt(current.rendition, spliceS - placement.startS);
    this.deck.frontierS = Math.max(this.deck.frontierS, placement.endS);
    this.tracks = this.tracks.map((track, i) => (i === 0 ? track : newTrack(track.lease)));
    const { signal } = this.run(spliceS);
    while (!signal.aborted && this.playing && this.deck.timeS < spliceS + SPLICE_PLAYED_S) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  stop(): void {
    const was = this.tracks.length > 0;
    this.halt();
    this.decks.endFade();
    this.tracks = [];
    this.wanted = false;
    this.hasEnded = false;
    this.pendingMs = null;
    clearInterval(this.timer);
    this.timer = 0;
    this.deck.element.pause();
    this.setPlaybackRate(1);
    for (const deck of this.decks.both) void deck.empty(0);
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
    for (const deck of this.decks.both) deck.initOf = null;
  }

  private async pump(signal: AbortSignal, emptyFromS: number): Promise<void> {
    // What follows is filled anew with it, on whichever deck.
    if (Number.isFinite(emptyFromS)) await Promise.all([this.deck.empty(emptyFromS), this.decks.other.empty(0)]);
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
    const rendition = (track.rendition ??= await this.fetcher.rendition(track.lease, signal));
    signal.throwIfAborted();
    // Taken out of the line meanwhile: it has no place.
    if (!this.tracks.includes(track)) return;
    if (track.placement === null) this.settle(track, rendition);
    const { deck, placement } = track;
    if (deck === null || placement === null) return;
    const buffer = await deck.open();
    signal.throwIfAborted();
    const isFirst = track === this.tracks[0];
    if (isFirst && this.pendingMs !== null) {
      const lastS = musicS(rendition) - 0.05;
      track.nextSegment = segmentAt(rendition, Math.min(this.pendingMs() / 1000, lastS));
    }
    const index = track.nextSegment;
    const range = bytesOf(rendition, index, track.init === null);
    if (track.init === null && range.from > 0) {
      track.init = await this.fetcher.bytes(track.lease, rendition.file, { from: 0, to: rendition.initSize - 1 }, signal);
    }
    const data = await this.fetcher.bytes(track.lease, rendition.file, range, signal);
    track.init ??= data.slice(0, rendition.initSize);
    signal.throwIfAborted();
    const window = [Math.max(placement.startS, track.appendFromS), placement.endS] as const;
    if (deck.initOf !== track && range.from > 0) await buffer.append(track.init, placement.timestampOffsetS, window);
    signal.throwIfAborted();
    await buffer.append(data, placement.timestampOffsetS, window);
    signal.throwIfAborted();
    deck.initOf = track;
    track.nextSegment = index + 1;
    if (isFirst && this.pendingMs !== null) this.land(index, rendition, placement);
  }

  /** Decides where a track lies: right behind the one before it, or on the other deck, to be faded into. */
  private settle(track: Track, rendition: Rendition): void {
    const before = this.tracks[this.tracks.indexOf(track) - 1];
    track.deck = before?.deck ?? this.deck;
    let startS = before?.placement?.endS ?? this.deck.frontierS;
    if (before?.rendition) track.fadeS = this.fadeOf(before, before.rendition, track, rendition);
    if (track.fadeS > 0) {
      track.deck = track.deck === this.deck ? this.decks.other : this.deck;
      track.deck.beginAnew();
      startS = track.deck.frontierS;
    }
    track.placement = place(rendition, startS);
    track.deck.frontierS = Math.max(track.deck.frontierS, track.placement.endS);
    if (before === undefined) this.applyLoudness(track);
  }

  /** A segment is there: go to the wanted place, unless that moved out of this segment while it was fetched. */
  private land(index: number, rendition: Rendition, placement: Placement): void {
    const positionS = Math.max(0, (this.pendingMs?.() ?? 0) / 1000);
    const within = Math.min(positionS, placement.endS - placement.startS - 0.05);
    if (segmentAt(rendition, within) !== index) return;
    this.pendingMs = null;
    this.deck.element.currentTime = placement.startS + within;
    this.lastTimeS = -1;
    this.applyPlay();
  }

  private async cutOff(deck: Deck, fromS: number): Promise<void> {
    const near = fromS - deck.timeS < DECODED_AHEAD_S;
    await deck.empty(fromS);
    // The decoder holds a little of what was removed; a seek to where it stands makes it forget.
    if (near && this.pendingMs === null && deck.timeS < fromS) deck.element.currentTime += 0;
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
      this.deck.setRate(this.setRate);
      try {
        await this.deck.element.play();
      } catch (error) {
        if (error instanceof DOMException && error.name === "NotAllowedError") this.events.blocked();
      }
      this.events.changed();
    });
  }

  private tick(): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    const nowS = this.deck.timeS;
    const { placement } = current;
    this.watch();
    this.decks.watchTail();
    if (placement !== null && this.pendingMs === null) {
      const next = this.tracks[1];
      if (next?.placement && next.fadeS > 0) {
        const incoming = { startS: next.placement.startS, fadeS: next.fadeS, gainDb: next.lease.gain_db };
        if (this.wanted && this.decks.cross(placement.endS, incoming)) {
          this.decks.takeOver(placement.endS);
          this.goOn(current, next);
          // A browser that would not let it play is asked once more, and the listener after it.
          if (this.deck.element.paused) this.applyPlay();
          return;
        }
      } else if (next?.placement && nowS >= placement.endS) {
        this.goOn(current, next);
        return;
      }
      this.prepareLoudness(nowS, placement, next);
      this.noticeEnd(nowS, placement, next);
    }
    const stalled = this.wanted && !this.hasEnded && !this.deck.isSteady;
    if (stalled !== this.stalled) {
      this.stalled = stalled;
      this.events.changed();
    }
    if (this.pendingMs === null) this.deck.emptyBehind();
    this.wake();
  }

  private goOn(from: Track, to: Track): void {
    this.tracks.shift();
    // Scheduled on the audio clock already, or set on its own deck, unless the boundary came by a surprise.
    if (this.loudnessScheduledFor !== to && to.fadeS === 0) this.applyLoudness(to);
    this.loudnessScheduledFor = null;
    this.events.advanced(from.lease, to.lease, this.positionMs);
    this.wake();
  }

  private noticeEnd(nowS: number, placement: Placement, next: Track | undefined): void {
    if (!this.wanted || this.hasEnded) return;
    this.stillTicks = nowS === this.lastTimeS ? this.stillTicks + 1 : 0;
    this.lastTimeS = nowS;
    if (nowS < placement.endS - END_SLACK_S || this.deck.element.seeking) return;
    const atEnd = nowS >= placement.endS || this.stillTicks >= STALL_TICKS;
    if (!atEnd || (next !== undefined && !next.failed)) return;
    this.hasEnded = true;
    this.wanted = false;
    this.deck.element.pause();
    const { lease } = this.tracks[0] as Track;
    this.events.ended(lease);
    this.events.changed();
  }

  // --- loudness ------------------------------------------------------------------------------------------------

  private applyLoudness(track: Track): void {
    track.deck?.channel.setLoudness(track.lease.gain_db);
  }

  private prepareLoudness(nowS: number, placement: Placement, next: Track | undefined): void {
    if (!next?.placement || next.fadeS > 0 || !this.wanted || this.stalled || this.loudnessScheduledFor === next) return;
    const leftS = (placement.endS - nowS) / (this.deck.element.playbackRate || 1);
    if (leftS > LOUDNESS_AHEAD_S || leftS < 0) return;
    this.deck.channel.scheduleLoudness(next.lease.gain_db, this.graph.context.currentTime + leftS);
    this.loudnessScheduledFor = next;
  }

  private unscheduleLoudness(): void {
    const current = this.tracks[0];
    if (this.loudnessScheduledFor === null || current === undefined) return;
    this.loudnessScheduledFor = null;
    this.applyLoudness(current);
  }

  // --- repair --------------------------------------------------------------------------------------------------

  /** An element gave up on its source: a new one, from where we stood. */
  private broken(deck: Deck): void {
    const current = this.tracks[0];
    if (current === undefined) return;
    const at = this.positionMs;
    this.events.failed(current.lease, "the browser's decoder stopped; starting it again");
    const { lease } = current;
    const rest = this.tracks.slice(1).map((track) => track.lease);
    if (deck === this.deck) {
      this.tracks = [];
      this.start(lease, () => at, this.wanted);
    } else {
      this.setNext([]);
    }
    this.setNext(rest);
  }
}

function musicS(rendition: Rendition): number {
  return rendition.pcmFrames / rendition.sampleRate;
}

function newTrack(lease: Lease): Track {
  return { lease, rendition: null, deck: null, placement: null, fadeS: 0, init: null, nextSegment: 0, failed: false, appendFromS: 0 };
}
