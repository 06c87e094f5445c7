// One media element with its buffer, its clock and its channel of the audio graph. The engine has two of them: what
// follows without a gap lies on the deck of what it follows, what is faded into lies on the other one.

import { MediaBuffer } from "./buffer";
import type { AudioGraph, Channel } from "./graph";
import { Lockstep } from "./lockstep";
import { bufferedAheadS } from "./timeline";

const BEHIND_S = 10;
/** Emptied in steps, since every removal costs the browser a walk through the buffer. */
const BEHIND_SLACK_S = 10;
/** Between two items that do not follow each other, so that nothing of one can run into the other. */
const BETWEEN_S = 5;

export class Deck {
  readonly element = new Audio();
  readonly channel: Channel;
  /** Media time against the audio clock, while the sound flows. */
  readonly lockstep = new Lockstep();
  /** Behind everything that was placed on this timeline. */
  frontierS = 0;
  /** Whose init part the decoder had last. */
  initOf: object | null = null;
  private buffer: MediaBuffer | null = null;
  private emptying = false;

  constructor(
    private readonly graph: AudioGraph,
    onMove: () => void,
    onBroken: () => void,
  ) {
    this.channel = graph.channel(this.element);
    this.element.preservesPitch = true;
    for (const name of ["playing", "waiting", "pause", "seeked"]) this.element.addEventListener(name, onMove);
    for (const name of ["play", "pause", "waiting", "seeking", "seeked", "ratechange"]) {
      this.element.addEventListener(name, () => this.lockstep.clear());
    }
    this.element.addEventListener("error", () => {
      if (this.buffer === null) return;
      this.buffer.close();
      this.buffer = null;
      onBroken();
    });
  }

  get timeS(): number {
    return this.element.currentTime;
  }

  get flows(): boolean {
    return !this.element.seeking && !this.element.paused && this.element.readyState >= 3;
  }

  /** The sound flows, and where it is is known to the millisecond. Other speeds are not looked at so closely. */
  get isSteady(): boolean {
    return this.flows && (this.element.playbackRate !== 1 || this.lockstep.offsetS !== null);
  }

  /** Looks at both clocks; true when the position is known well. `isExpected`: it is where it should be. */
  watch(isExpected: boolean): boolean {
    if (isExpected && this.flows && this.element.playbackRate === 1) {
      this.lockstep.add(this.timeS, this.graph.context.currentTime);
    } else {
      this.lockstep.clear();
    }
    return this.lockstep.offsetS !== null;
  }

  setRate(rate: number): void {
    if (this.element.playbackRate !== rate) this.element.playbackRate = rate;
  }

  // --- what lies on it -----------------------------------------------------------------------------------------

  async open(): Promise<MediaBuffer> {
    return (this.buffer ??= await MediaBuffer.open(this.element));
  }

  /** A place on the timeline that nothing runs into. */
  beginAnew(): void {
    this.frontierS = Math.ceil(this.frontierS + BETWEEN_S);
  }

  /** How much there is from `atS` on without a hole. */
  aheadS(atS: number): number {
    return bufferedAheadS(this.buffer?.ranges ?? [], atS);
  }

  async empty(fromS: number, toS = Number.POSITIVE_INFINITY): Promise<void> {
    await this.buffer?.remove(fromS, toS).catch(() => undefined);
  }

  emptyBehind(): void {
    const first = this.buffer?.ranges[0];
    if (first === undefined || this.emptying || this.timeS - first[0] <= BEHIND_S + BEHIND_SLACK_S) return;
    this.emptying = true;
    void this.empty(0, this.timeS - BEHIND_S).finally(() => (this.emptying = false));
  }
}
