// What lies under a lease: `manifest.json` says which files there are, how long they really sound and where their
// segments begin. Fetched once per item and kept for the few that are near.

export interface Segment {
  readonly offset: number;
  readonly size: number;
  /** Decoder output frame at which it begins, encoder delay included. */
  readonly startFrame: number;
  readonly frames: number;
}

export interface Rendition {
  readonly name: string;
  readonly file: string;
  readonly mime: string;
  readonly sampleRate: number;
  /** Frames of music. */
  readonly pcmFrames: number;
  /** Frames that the decoder gives before the music. */
  readonly encoderDelay: number;
  readonly initSize: number;
  readonly segments: readonly Segment[];
}

interface WireRendition {
  name: string;
  file: string;
  mime: string;
  sample_rate: number;
  pcm_frames: number;
  encoder_delay: number;
  init_size: number;
  segments: readonly (readonly [number, number, number, number])[];
}

/** The rendition that the lease chose, else the first one that this browser can decode. Throws when there is none. */
export function renditionOf(manifest: unknown, wanted: string, playable: (mime: string) => boolean): Rendition {
  const listed = (manifest as { renditions?: readonly WireRendition[] } | null)?.renditions ?? [];
  const usable = listed.filter((one) => one.segments.length > 0 && playable(one.mime));
  const chosen = usable.find((one) => one.name === wanted) ?? usable[0];
  if (chosen === undefined) {
    throw new Error(`this browser cannot play ${wanted}; the manifest lists ${listed.map((one) => one.name).join(", ") || "nothing"}`);
  }
  return {
    name: chosen.name,
    file: chosen.file,
    mime: chosen.mime,
    sampleRate: chosen.sample_rate,
    pcmFrames: chosen.pcm_frames,
    encoderDelay: chosen.encoder_delay,
    initSize: chosen.init_size,
    segments: chosen.segments.map(([offset, size, startFrame, frames]) => ({ offset, size, startFrame, frames })),
  };
}
