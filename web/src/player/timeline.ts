// Where each track lies on the one media timeline that the audio element plays. Pure.
//
//   coded      |delay|=========== music ===========|padding|
//   timeline         start_s                       end_s
//                    | next track starts here, to the sample ->
//
// A segment of the file is appended with `timestampOffset = start - delay`, so that the first frame of music falls on
// `start`; the append window cuts the delay off in front and the padding off behind. Seconds, as media sources count.

import type { Rendition, Segment } from "./manifest";

export interface Placement {
  readonly startS: number;
  readonly endS: number;
  readonly timestampOffsetS: number;
}

export function place(rendition: Rendition, startS: number): Placement {
  return {
    startS,
    endS: startS + rendition.pcmFrames / rendition.sampleRate,
    timestampOffsetS: startS - rendition.encoderDelay / rendition.sampleRate,
  };
}

/** The same music, `byS` later. */
export function moved(placement: Placement, byS: number): Placement {
  return {
    startS: placement.startS + byS,
    endS: placement.endS + byS,
    timestampOffsetS: placement.timestampOffsetS + byS,
  };
}

/** Index of the segment that holds `positionS` of the music; the last one for a position past the end. */
export function segmentAt(rendition: Rendition, positionS: number): number {
  const frame = Math.max(0, positionS) * rendition.sampleRate + rendition.encoderDelay;
  const { segments } = rendition;
  let low = 0;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (frameOf(segments, middle) <= frame) low = middle;
    else high = middle - 1;
  }
  return low;
}

function frameOf(segments: readonly Segment[], index: number): number {
  return segments[index]?.startFrame ?? Number.POSITIVE_INFINITY;
}

export interface ByteRange {
  readonly from: number;
  /** Inclusive, as in a Range header. */
  readonly to: number;
}

/** Bytes of one segment, and of the init part too where both can come in one request. */
export function bytesOf(rendition: Rendition, index: number, withInit: boolean): ByteRange {
  const segment = rendition.segments[index];
  if (segment === undefined) throw new RangeError(`segment ${index} of ${rendition.segments.length}`);
  const adjoins = withInit && segment.offset === rendition.initSize;
  return { from: adjoins ? 0 : segment.offset, to: segment.offset + segment.size - 1 };
}

/** How much is buffered from `atS` on without a hole. Holes of less than a frame of AAC are rounding. */
export function bufferedAheadS(ranges: readonly (readonly [number, number])[], atS: number): number {
  const slack = 0.025;
  let end = atS;
  for (const [from, to] of ranges) {
    if (from <= end + slack && to > end) end = to;
  }
  return end - atS;
}
