// This device's clock against the server's, from pings with four timestamps.
// Of the last eight the one with the shortest way there and back is believed: a queue anywhere only ever adds.

const KEPT = 8;

export interface ClockEstimate {
  /** Device clock minus server clock. */
  readonly offsetMs: number;
  readonly rttMs: number;
  /** The offset is at most this wrong, however unequal the two ways were. */
  readonly errorMs: number;
}

export class ClockFilter {
  private readonly samples: ClockEstimate[] = [];
  private fallbackOffsetMs = 0;

  /** Best so far; null before the first pong. */
  get estimate(): ClockEstimate | null {
    return this.samples.reduce<ClockEstimate | null>(
      (best, sample) => (best === null || sample.rttMs < best.rttMs ? sample : best),
      null,
    );
  }

  /** Device clock minus server clock; from the welcome until a pong has come. */
  get offsetMs(): number {
    return this.estimate?.offsetMs ?? this.fallbackOffsetMs;
  }

  /** A rough first value: the server's time as it stood in the welcome. */
  begin(serverNowMs: number, deviceNowMs: number): void {
    this.fallbackOffsetMs = deviceNowMs - serverNowMs;
  }

  /** `t0` sent, `t1` received there, `t2` answered there, `t3` received here. A sample that runs backwards is dropped. */
  add(t0: number, t1: number, t2: number, t3: number): void {
    const rttMs = t3 - t0 - (t2 - t1);
    if (!Number.isFinite(rttMs) || rttMs < 0 || t3 < t0 || t2 < t1) return;
    this.samples.push({ offsetMs: (t0 - t1 + (t3 - t2)) / 2, rttMs, errorMs: rttMs / 2 });
    if (this.samples.length > KEPT) this.samples.shift();
  }

  /** Another host has another clock. */
  clear(): void {
    this.samples.length = 0;
  }
}

/** This device's clock: wall time at the start of the page, going on monotonically. Milliseconds with fractions. */
export function deviceNowMs(): number {
  return performance.timeOrigin + performance.now();
}
