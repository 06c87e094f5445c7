// Brings a silently playing engine into step with a position that moves on.
//
// Not by playing faster or slower: a browser's media clock is several milliseconds off for a while after its rate was
// changed. The engine plays on as it began, the error is measured, and the music that is still to be decoded is moved
// along the timeline by exactly that much. Nobody hears the splice, the switch gain is closed until the handoff.

import type { Engine } from "./engine";

/** In step: far below what a listener could notice as a jump. */
export const ALIGNED_MS = 3;
/** Once in step, only what would be heard is worth another splice: the source may have corrected its own position. */
const DRIFTED_MS = 25;
const SAMPLES = 9;
const SAMPLE_EVERY_MS = 14;
const HOLD_EVERY_MS = 150;

export class Alignment {
  private stopped = false;
  /** Engine minus target at the last measurement; null before the first. */
  errorMs: number | null = null;

  constructor(
    private readonly engine: Engine,
    private readonly targetMs: () => number,
  ) {}

  /** Runs until `stop`; `onAligned` is called once, when it is first in step. */
  async run(onAligned: () => void): Promise<void> {
    let told = false;
    while (!this.stopped) {
      const error = await this.measure();
      if (this.stopped) return;
      if (error === null) continue;
      this.errorMs = error;
      if (Math.abs(error) > (told ? DRIFTED_MS : ALIGNED_MS)) {
        await this.engine.shift(error);
        continue;
      }
      if (!told) onAligned();
      told = true;
      await wait(HOLD_EVERY_MS);
    }
  }

  /** No more changes: what follows is heard. */
  stop(): void {
    this.stopped = true;
  }

  /** The middle of several looks; null while there is nothing steady to look at. */
  private async measure(): Promise<number | null> {
    const errors: number[] = [];
    for (let i = 0; i < SAMPLES && !this.stopped; i++) {
      await wait(SAMPLE_EVERY_MS);
      if (this.engine.watch()) errors.push(this.engine.positionMs - this.targetMs());
    }
    if (errors.length < SAMPLES / 2) return null;
    errors.sort((a, b) => a - b);
    return errors[errors.length >> 1] ?? null;
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
