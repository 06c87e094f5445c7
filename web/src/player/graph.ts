// What the sound passes through on its way out, and the audio clock that says when:
//
//   audio element -> loudness (per track) -> fade --+-> switch (handoff) -> volume (device) -> output
//   audio element -> loudness (per track) -> fade --'                             `-> meter
//
// A change is put on the audio clock, so that it happens at its sample no matter what the page is doing.

import { FADE_IN, FADE_OUT } from "./crossfade";

/** Up to some 12 kHz: above that there is little to see. */
const BAND_TOP_BIN = 512;
const RAMP_S = 0.006;
const VOLUME_TIME_CONSTANT_S = 0.015;
/** A browser whose output clock strays further than this from its own context is not believed. */
const CLOCK_SANE_S = 1;

/** The way of one media element into the graph. */
export class Channel {
  private readonly loudness: GainNode;
  private readonly fade: GainNode;
  private readonly meter: AnalyserNode;
  private gainDb = 0;

  constructor(
    private readonly context: AudioContext,
    element: HTMLAudioElement,
    out: AudioNode,
    private normalise: boolean,
  ) {
    this.loudness = context.createGain();
    this.fade = context.createGain();
    this.meter = context.createAnalyser();
    context.createMediaElementSource(element).connect(this.loudness).connect(this.fade).connect(out);
    this.fade.connect(this.meter);
  }

  setLoudness(gainDb: number): void {
    this.gainDb = gainDb;
    this.loudness.gain.cancelScheduledValues(0);
    this.loudness.gain.setValueAtTime(this.amplitude, this.context.currentTime);
  }

  /** The next track's loudness from its first sample on. */
  scheduleLoudness(gainDb: number, contextTime: number): void {
    this.gainDb = gainDb;
    this.loudness.gain.setValueAtTime(this.amplitude, Math.max(contextTime, this.context.currentTime));
  }

  setNormalise(on: boolean): void {
    this.normalise = on;
    this.setLoudness(this.gainDb);
  }

  /** From silence to full, or back, by equal power. */
  scheduleFade(way: "in" | "out", contextTime: number, seconds: number): void {
    const { gain } = this.fade;
    gain.cancelScheduledValues(0);
    gain.setValueCurveAtTime(way === "in" ? FADE_IN : FADE_OUT, Math.max(contextTime, this.context.currentTime), seconds);
  }

  /** Ends any fade. */
  setFade(share: 0 | 1): void {
    const { gain } = this.fade;
    gain.cancelScheduledValues(0);
    gain.setTargetAtTime(share, this.context.currentTime, RAMP_S / 2);
  }

  /** What the current track is multiplied by to be as loud as the others. */
  get loudnessGain(): number {
    return this.loudness.gain.value;
  }

  /** Root mean square of what comes out of this channel now. */
  level(): number {
    return rms(this.meter);
  }

  private get amplitude(): number {
    return this.normalise ? 10 ** (this.gainDb / 20) : 1;
  }
}

export class AudioGraph {
  readonly context: AudioContext;
  private readonly channels: Channel[] = [];
  private readonly switcher: GainNode;
  private readonly volume: GainNode;
  private readonly meter: AnalyserNode;
  private readonly spectrumData: Uint8Array<ArrayBuffer>;
  private normalise = true;

  constructor() {
    this.context = new AudioContext({ latencyHint: "playback" });
    this.switcher = this.context.createGain();
    this.volume = this.context.createGain();
    this.meter = this.context.createAnalyser();
    this.meter.fftSize = 2048;
    this.meter.smoothingTimeConstant = 0.75;
    this.spectrumData = new Uint8Array(this.meter.frequencyBinCount);
    this.switcher.connect(this.volume).connect(this.context.destination);
    this.volume.connect(this.meter);
  }

  /** A media element's own way in. */
  channel(element: HTMLAudioElement): Channel {
    const channel = new Channel(this.context, element, this.switcher, this.normalise);
    this.channels.push(channel);
    return channel;
  }

  get running(): boolean {
    return this.context.state === "running";
  }

  /** From the graph's output to the listener's ear, as far as the browser knows. Seconds. */
  get outputLatencyS(): number {
    const known = this.context.outputLatency || this.context.baseLatency || 0;
    return Number.isFinite(known) ? known : 0;
  }

  /** Must come from a listener's gesture, unless the browser lets the page play by itself. */
  async resume(): Promise<boolean> {
    if (!this.running) {
      // A browser that wants a gesture first leaves the promise open, so it is not waited for alone.
      await Promise.race([this.context.resume(), new Promise((resolve) => setTimeout(resolve, 150))]).catch(() => undefined);
    }
    return this.running;
  }

  /** Time of the audio clock whose sound is heard at `performanceMs` of the page's clock. */
  contextTimeAt(performanceMs: number): number {
    return this.heardNow() + (performanceMs - performance.now()) / 1000;
  }

  /** When (page's clock) the sound of `contextTime` is heard. */
  performanceMsAt(contextTime: number): number {
    return performance.now() + (contextTime - this.heardNow()) * 1000;
  }

  /** Time of the audio clock that is heard at this moment. */
  private heardNow(): number {
    const plain = this.context.currentTime - this.outputLatencyS;
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (contextTime === undefined || performanceTime === undefined || performanceTime === 0) return plain;
    const stamped = contextTime + (performance.now() - performanceTime) / 1000;
    return Math.abs(stamped - plain) < CLOCK_SANE_S ? stamped : plain;
  }

  setVolume(percent: number, isMuted: boolean): void {
    // Loudness is felt roughly as the square of the amplitude's share.
    const gain = isMuted ? 0 : (percent / 100) ** 2;
    this.volume.gain.setTargetAtTime(gain, this.context.currentTime, VOLUME_TIME_CONSTANT_S);
  }

  /** Off: each track as loud as it was made. What plays changes at once. */
  setNormalise(on: boolean): void {
    this.normalise = on;
    for (const channel of this.channels) channel.setNormalise(on);
  }

  setSwitch(open: boolean): void {
    this.switcher.gain.cancelScheduledValues(0);
    this.switcher.gain.setValueAtTime(open ? 1 : 0, this.context.currentTime);
  }

  /** Opens or closes within a few milliseconds around `contextTime`. Returns the time really taken: never in the past. */
  scheduleSwitch(open: boolean, contextTime: number): number {
    const at = Math.max(contextTime, this.context.currentTime + 0.005);
    const { gain } = this.switcher;
    gain.cancelScheduledValues(0);
    gain.setValueAtTime(open ? 0 : 1, this.context.currentTime);
    gain.setValueAtTime(open ? 0 : 1, at - RAMP_S / 2 > this.context.currentTime ? at - RAMP_S / 2 : at);
    gain.linearRampToValueAtTime(open ? 1 : 0, at + RAMP_S / 2);
    return at;
  }

  /** How much there is in each of `count` bands now, low to high, 0 to 1. Bands widen upwards, as hearing does. */
  bands(count: number): number[] {
    this.meter.getByteFrequencyData(this.spectrumData);
    const edge = (band: number): number => Math.round(2 * (BAND_TOP_BIN / 2) ** (band / count));
    return Array.from({ length: count }, (_, band) => {
      const bins = this.spectrumData.subarray(edge(band), Math.max(edge(band) + 1, edge(band + 1)));
      return bins.reduce((most, bin) => Math.max(most, bin), 0) / 255;
    });
  }

  /** Root mean square of what leaves the graph now. */
  level(): number {
    return rms(this.meter);
  }
}

function rms(meter: AnalyserNode): number {
  const data = new Float32Array(meter.fftSize);
  meter.getFloatTimeDomainData(data);
  return Math.sqrt(data.reduce((total, sample) => total + sample * sample, 0) / data.length);
}
