// One media source with one source buffer, whose operations are asked for in turn: a source buffer does one thing at a
// time and says so by throwing. After an error the whole thing is thrown away by its owner and made anew.

const MIME = 'audio/mp4; codecs="mp4a.40.2"';
/** Longer than anybody listens in one go; a duration that never changes makes every position seekable. */
const TIMELINE_S = 1_000_000;

export class MediaBuffer {
  private constructor(
    private readonly url: string,
    private readonly source: MediaSource,
    private readonly buffer: SourceBuffer,
  ) {}

  private tail: Promise<void> = Promise.resolve();

  static async open(element: HTMLAudioElement): Promise<MediaBuffer> {
    const source = new MediaSource();
    const url = URL.createObjectURL(source);
    element.src = url;
    await new Promise<void>((resolve) => source.addEventListener("sourceopen", () => resolve(), { once: true }));
    source.duration = TIMELINE_S;
    return new MediaBuffer(url, source, source.addSourceBuffer(MIME));
  }

  get ranges(): [number, number][] {
    if (!this.usable) return [];
    const { buffered } = this.buffer;
    return Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
  }

  get usable(): boolean {
    return this.source.readyState === "open";
  }

  /** Whole segments only. `offsetS` moves their times, the window cuts what lies outside. */
  append(data: ArrayBuffer, offsetS: number, windowS: readonly [number, number]): Promise<void> {
    return this.inTurn(() => {
      this.buffer.timestampOffset = offsetS;
      // In an order that never puts the start behind the end.
      this.buffer.appendWindowStart = 0;
      this.buffer.appendWindowEnd = windowS[1];
      this.buffer.appendWindowStart = Math.max(0, windowS[0]);
      this.buffer.appendBuffer(data);
    });
  }

  remove(fromS: number, toS: number): Promise<void> {
    if (toS <= fromS) return this.tail;
    return this.inTurn(() => this.buffer.remove(Math.max(0, fromS), toS));
  }

  close(): void {
    URL.revokeObjectURL(this.url);
  }

  private inTurn(begin: () => void): Promise<void> {
    const done = this.tail.then(() => this.run(begin));
    this.tail = done.catch(() => undefined);
    return done;
  }

  private run(begin: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const { buffer } = this;
      const finish = (error?: Error): void => {
        buffer.removeEventListener("updateend", onEnd);
        buffer.removeEventListener("error", onError);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onEnd = (): void => finish();
      const onError = (): void => finish(new Error("the browser could not decode a segment"));
      if (!this.usable) {
        reject(new Error("the media source is closed"));
        return;
      }
      buffer.addEventListener("updateend", onEnd);
      buffer.addEventListener("error", onError);
      try {
        begin();
      } catch (error) {
        finish(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }
}
