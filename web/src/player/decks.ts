// Two decks, and the way from one to the other.
//
//   cued      the next track stands at its beginning, silent
//   entering  it plays beside the current one and both gains move along the audio clock; as soon as its position is
//             known well it may take over
//   tail      it took over; what is left of the last track fades out on the other deck, and nothing else needs it
//
// Whatever a listener does by hand meanwhile ends the fade at once.

import { Deck } from "./deck";
import type { AudioGraph } from "./graph";

/** The deck that is faded to is brought to the beginning of its track this long before. */
const CUE_AHEAD_S = 2;
/** Less than this at the beginning of the next track is no start yet. */
const CUED_S = 0.2;
/** A fade shorter than this is a cut. */
const FADE_MIN_S = 0.05;
/** Right before its end a buffer may have nothing that could still come. */
const END_SLACK_S = 0.25;

export interface Incoming {
  readonly startS: number;
  readonly fadeS: number;
  readonly gainDb: number;
}

export class Decks {
  current: Deck;
  other: Deck;
  /** The next track sounds on the other deck; the current one is still the current one. */
  isEntering = false;
  private isRefused = false;
  /** Where on the other deck the last track ends, while it fades out. */
  private tailEndS: number | null = null;

  constructor(
    private readonly graph: AudioGraph,
    onMove: () => void,
    onBroken: (deck: Deck) => void,
  ) {
    const make = (): Deck => {
      const deck: Deck = new Deck(graph, onMove, () => onBroken(deck));
      return deck;
    };
    this.current = make();
    this.other = make();
  }

  get both(): readonly [Deck, Deck] {
    return [this.current, this.other];
  }

  /** Brings the next track in when it is time. True once it can take over from the one that ends at `endS`. */
  cross(endS: number, next: Incoming): boolean {
    const { element } = this.other;
    if (this.isEntering) return this.other.watch(true) || this.isRefused;
    const leftS = endS - this.current.timeS;
    if (this.tailEndS !== null || leftS > next.fadeS + CUE_AHEAD_S || this.other.aheadS(next.startS) < CUED_S) return false;
    if (Math.abs(element.currentTime - next.startS) > 0.001) element.currentTime = next.startS;
    else if (leftS <= next.fadeS && !element.seeking) void this.bringIn(endS, next);
    return false;
  }

  private async bringIn(endS: number, next: Incoming): Promise<void> {
    const { current, other } = this;
    this.isEntering = true;
    this.isRefused = false;
    other.channel.setFade(0);
    other.channel.setLoudness(next.gainDb);
    other.setRate(1);
    try {
      await other.element.play();
    } catch {
      this.isRefused = this.isEntering;
      return;
    }
    if (!this.isEntering || this.other !== other) return;
    const seconds = Math.min(next.fadeS, endS - current.timeS);
    if (seconds < FADE_MIN_S) {
      other.channel.setFade(1);
      return;
    }
    const at = this.graph.context.currentTime;
    current.channel.scheduleFade("out", at, seconds);
    other.channel.scheduleFade("in", at, seconds);
  }

  /** The track that came in takes over; the one that ends at `endS` is a tail from now on. */
  takeOver(endS: number): void {
    this.isEntering = false;
    if (this.isRefused) this.other.channel.setFade(1);
    this.tailEndS = endS;
    this.turn();
  }

  /** By hand: the other deck is the one that is heard, and this one falls silent. */
  change(): void {
    this.current.element.pause();
    this.turn();
    this.current.channel.setFade(1);
  }

  private turn(): void {
    [this.current, this.other] = [this.other, this.current];
  }

  /** Ends the tail where its track ends. */
  watchTail(): void {
    if (this.tailEndS === null) return;
    const { timeS, flows } = this.other;
    if (timeS >= this.tailEndS || (timeS > this.tailEndS - END_SLACK_S && !flows)) this.endTail();
  }

  private endTail(): void {
    if (this.tailEndS === null) return;
    this.other.element.pause();
    void this.other.empty(0, this.tailEndS);
    this.tailEndS = null;
  }

  /** At once: only the current deck is heard. */
  endFade(): void {
    if (!this.isEntering && this.tailEndS === null) return;
    this.endTail();
    if (this.isEntering) this.other.element.pause();
    this.isEntering = false;
    this.current.channel.setFade(1);
  }
}
