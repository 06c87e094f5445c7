// The media element's clock against the audio clock. Inside one audio graph both advance together, block by block, so
// their difference is constant while the sound flows; its median is far steadier than any single reading.

const KEPT = 15;
const ENOUGH = 4;
/** Further away than this it is not noise: the sound was interrupted without an event. */
const BROKEN_S = 0.03;

export class Lockstep {
  private readonly samples: number[] = [];
  private median: number | null = null;

  /** Media time minus audio time, in seconds; null until it is known well. */
  get offsetS(): number | null {
    return this.samples.length >= ENOUGH ? this.median : null;
  }

  /** One simultaneous reading of both clocks while the sound flows at normal speed. */
  add(mediaS: number, audioS: number): void {
    const sample = mediaS - audioS;
    if (this.median !== null && Math.abs(sample - this.median) > BROKEN_S) this.clear();
    this.samples.push(sample);
    if (this.samples.length > KEPT) this.samples.shift();
    const sorted = [...this.samples].sort((a, b) => a - b);
    this.median = sorted[sorted.length >> 1] ?? null;
  }

  /** After a seek, a pause or a change of speed. */
  clear(): void {
    this.samples.length = 0;
    this.median = null;
  }
}
