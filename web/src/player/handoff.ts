// This device's part in a handoff.
//
//   target   prepare -> plays silently, in step with the source -> ready -> switch -> opens at the instant -> switched
//   source   (knows nothing until) switch -> closes at the instant -> switched -> stops
//
// Both change a gain on their own audio clock; what they report is when that gain really moved.

import type { Abort, PlayerState, Prepare, Switch } from "../wire/frames";
import type { Link } from "../session/link";
import { positionMs } from "../session/merge";
import { Alignment } from "./align";
import type { Engine } from "./engine";
import type { AudioGraph } from "./graph";

/** A target that is not in step by then says ready all the same: late is worse than a small jump. */
const READY_BEFORE_DEADLINE_MS = 2_000;
const BUFFERED_ENOUGH_MS = 1_500;
/** From here on nothing is moved any more: what is spliced now would be heard. */
const FREEZE_BEFORE_MS = 2_000;
/** How far a handoff may run past its deadline before this device believes that nobody thinks of it any more. */
const FORGOTTEN_AFTER_MS = 8_000;
const CLOSE_AFTER_MS = 60;
const POLL_MS = 30;

interface Part {
  readonly id: string;
  readonly role: "target" | "source";
  /** Of the prepare: the server counts them when what is to be prepared changes meanwhile. */
  readonly attempt: number;
  alignment: Alignment | null;
  readySent: boolean;
  switching: boolean;
  readonly timers: number[];
}

export class HandoffPart {
  private part: Part | null = null;
  /** The session as it was before the last switch is not worth obeying any more. */
  epochAtLeast = 0;
  private engine!: Engine;
  /** What was measured at the last switch, for tests. */
  lastSwitch: { role: string; atMs: number; positionMs: number; alignErrorMs: number | null } | null = null;

  constructor(
    private readonly link: Link,
    private readonly graph: AudioGraph,
    /** The newest word on a play, when the session still plays it. */
    private readonly playerOf: (playId: string) => PlayerState | null,
    private readonly settled: () => void,
  ) {}

  attach(engine: Engine): void {
    this.engine = engine;
  }

  /** While it is, the session's state is not obeyed: the switch says what happens. */
  get busy(): boolean {
    return this.part !== null;
  }

  // --- target --------------------------------------------------------------------------------------------------

  onPrepare(frame: Prepare): void {
    this.forget();
    void this.prepare(frame);
  }

  private async prepare(frame: Prepare): Promise<void> {
    const attempt = frame.attempt ?? 1;
    const part: Part = { id: frame.handoff_id, role: "target", attempt, alignment: null, readySent: false, switching: false, timers: [] };
    this.part = part;
    // To be handed something paused it need not be able to sound yet.
    if (frame.will_play && !(await this.graph.resume())) {
      if (this.part === part) this.part = null;
      this.link.send({ type: "refuse", handoff_id: frame.handoff_id, reason: "needs_gesture" });
      return;
    }
    if (this.part !== part) return;
    const due = (): number => positionMs(this.playerOf(frame.lease.play_id) ?? frame.player, this.link.serverNowMs());
    this.graph.setSwitch(false);
    this.engine.setPlaybackRate(1);
    this.engine.start(frame.lease, due, frame.will_play);
    const lateInMs = frame.deadline_at_ms - this.link.serverNowMs();
    this.after(part, lateInMs + FORGOTTEN_AFTER_MS, () => this.giveUp());
    if (frame.will_play) {
      part.alignment = new Alignment(this.engine, due);
      void part.alignment.run(() => this.ready(part));
      this.after(part, lateInMs - READY_BEFORE_DEADLINE_MS, () => this.engine.bufferedMs > 0 && this.ready(part));
    } else {
      this.readyWhenBuffered(part, frame.lease.duration_ms - due());
    }
  }

  private readyWhenBuffered(part: Part, leftMs: number): void {
    if (this.part !== part || part.readySent) return;
    if (this.engine.bufferedMs >= Math.min(BUFFERED_ENOUGH_MS, leftMs * 0.8)) this.ready(part);
    else this.after(part, POLL_MS, () => this.readyWhenBuffered(part, leftMs));
  }

  private ready(part: Part): void {
    if (this.part !== part || part.readySent) return;
    part.readySent = true;
    this.link.send({
      type: "ready",
      handoff_id: part.id,
      attempt: part.attempt,
      buffered_ms: this.engine.bufferedMs,
      start_delay_ms: Math.min(10_000, Math.round(this.graph.outputLatencyS * 1000)),
    });
  }

  // --- both ----------------------------------------------------------------------------------------------------

  onSwitch(frame: Switch): void {
    this.epochAtLeast = frame.device_epoch;
    if (frame.role === "target") {
      // A target that was never asked to prepare has nothing to open; the state will say what to play.
      if (this.part?.id === frame.handoff_id) this.open(this.part, frame);
    } else {
      this.forget();
      this.part = { id: frame.handoff_id, role: "source", attempt: 0, alignment: null, readySent: true, switching: true, timers: [] };
      this.shut(this.part, frame);
    }
  }

  onAbort(frame: Abort): void {
    if (this.part?.id !== frame.handoff_id) return;
    this.giveUp();
  }

  private open(part: Part, frame: Switch): void {
    part.switching = true;
    const untilMs = frame.start_at_ms - this.link.serverNowMs();
    const alignErrorMs = part.alignment?.errorMs ?? null;
    this.after(part, Math.max(0, untilMs - FREEZE_BEFORE_MS), () => {
      part.alignment?.stop();
      part.alignment = null;
    });
    if (frame.playing && !this.engine.playing) this.engine.play();
    this.at(part, frame, true, (atMs, position) => this.finish(part, atMs, position, alignErrorMs));
  }

  private shut(part: Part, frame: Switch): void {
    this.at(part, frame, false, (atMs, position) => {
      this.after(part, CLOSE_AFTER_MS, () => {
        this.engine.stop();
        this.graph.setSwitch(true);
        this.finish(part, atMs, position, null);
      });
    });
  }

  /** Moves the switch gain at the frame's instant, and says when it moved and where the music was then. */
  private at(part: Part, frame: Switch, open: boolean, then: (atMs: number, position: number) => void): void {
    const instantMs = frame.start_at_ms + this.link.clock.offsetMs - performance.timeOrigin;
    const planned = this.graph.scheduleSwitch(open, this.graph.contextTimeAt(instantMs));
    const leftMs = this.graph.performanceMsAt(planned) - performance.now();
    this.after(part, Math.max(0, leftMs) + 15, () => {
      // Looked at again afterwards: the audio clock and the page's may have been read a little apart before.
      const heardAtMs = this.graph.performanceMsAt(planned);
      const position = this.engine.positionMsAt(heardAtMs);
      const atMs = heardAtMs + performance.timeOrigin - this.link.clock.offsetMs;
      then(atMs, position);
    });
  }

  private finish(part: Part, atMs: number, position: number, alignErrorMs: number | null): void {
    if (this.part !== part) return;
    this.lastSwitch = { role: part.role, atMs, positionMs: position, alignErrorMs };
    this.link.send({ type: "switched", handoff_id: part.id, at_ms: atMs, position_ms: position });
    this.clear(part);
    this.settled();
  }

  // --- ends ----------------------------------------------------------------------------------------------------

  /** What was prepared is thrown away; if this device is the one to play after all, the state says so. */
  private giveUp(): void {
    const { part } = this;
    if (part === null) return;
    this.clear(part);
    if (part.role === "target") this.engine.stop();
    this.graph.setSwitch(true);
    this.settled();
  }

  reset(): void {
    this.forget();
    this.epochAtLeast = 0;
  }

  private forget(): void {
    if (this.part === null) return;
    if (this.part.role === "target") this.engine.stop();
    this.clear(this.part);
    this.graph.setSwitch(true);
  }

  private clear(part: Part): void {
    part.alignment?.stop();
    for (const timer of part.timers) window.clearTimeout(timer);
    if (this.part === part) this.part = null;
  }

  private after(part: Part, ms: number, what: () => void): void {
    part.timers.push(window.setTimeout(() => this.part === part && what(), Math.max(0, ms)));
  }
}

