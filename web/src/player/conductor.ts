// Makes the engine do what the session says, and tells the session what the engine did: the rules of an active device
// (docs/protocol.md). A grown `playhead_version` or another `play_id` is obeyed; the same ones are echoes of our reports.

import type { Advanced, Lease, Media, PlayerState, Report, ReportState, ServerFrame } from "../wire/frames";
import type { Link } from "../session/link";
import type { View } from "../session/merge";
import { positionMs } from "../session/merge";
import { crossfadeS } from "../session/preferences";
import { fadeBetween } from "./crossfade";
import type { Engine } from "./engine";
import type { Fetcher, LeaseBook } from "./fetcher";
import { HandoffPart } from "./handoff";
import type { AudioGraph } from "./graph";

const REPORT_EVERY_MS = 10_000;
/** Changes that follow each other quickly are one report. */
const REPORT_WITHIN_MS = 60;
const LEASES_KEPT = 12;
/** Closer than this the playhead is where it should be. */
const SAME_PLACE_MS = 250;
/** A start that was ordered this recently begins at its beginning, rather than cut off by the time it took. */
const FRESH_START_MS = 4_000;
const ADVANCES_KEPT = 8;
const FAILED_RETRY_MS = 6_000;
const FAILED_RETRIES_MAX = 10;
/** After the switch instant a source that was not told to end does so by itself. */
const LEAVE_SLACK_MS = 400;

export interface ConductorEvents {
  blocked(isBlocked: boolean): void;
  trouble(text: string | null): void;
}

/** Where a command put the playhead, as it came in. */
interface Ordered {
  readonly version: number;
  readonly positionMs: number;
  readonly atMs: number;
}

export class Conductor implements LeaseBook {
  private readonly leases = new Map<string, Lease>();
  private order: readonly Lease[] = [];
  private mediaArrived: (() => void)[] = [];
  private obeyedVersion = -1;
  private obeyedPlayId: string | null = null;
  private advances: Advanced[] = [];
  private reportTimer = 0;
  private leaveTimer = 0;
  private failedRetries = 0;
  private error: string | undefined;
  private blocked = false;
  private view: View | null = null;
  private ordered: Ordered | null = null;
  readonly handoff: HandoffPart;

  private engine!: Engine;
  private fetcher!: Fetcher;

  constructor(
    private readonly deviceId: string,
    private readonly link: Link,
    private readonly graph: AudioGraph,
    private readonly events: ConductorEvents,
  ) {
    this.handoff = new HandoffPart(
      link,
      graph,
      (playId) => this.playerOf(playId),
      () => this.settled(),
    );
    window.setInterval(() => this.engine.playing && this.report(), REPORT_EVERY_MS);
  }

  /** The engine needs the conductor's leases and the conductor the engine, so one comes second. */
  attach(engine: Engine, fetcher: Fetcher): void {
    this.engine = engine;
    this.fetcher = fetcher;
    this.handoff.attach(engine);
  }

  get playId(): string | undefined {
    return this.engine.playId ?? undefined;
  }

  // --- what the session says ---------------------------------------------------------------------------------

  /** `live`: a push that came as it happened; a snapshot may tell of a command given long ago. */
  onView(view: View, live: boolean): void {
    const { player } = view;
    if (this.view !== null && this.view.player.session_id !== player.session_id) this.reset();
    if (live && this.view !== null && player.playhead_version > this.view.player.playhead_version) {
      const atMs = this.link.serverNowMs();
      this.ordered = { version: player.playhead_version, positionMs: player.position_as_of_timestamp, atMs };
    }
    this.view = view;
    const acknowledged = this.advances.findIndex((one) => one.play_id === player.play_id);
    if (acknowledged >= 0) this.advances = this.advances.slice(acknowledged + 1);
    this.reconcile();
  }

  /** Another listener, another session: nothing of the old one counts. */
  reset(): void {
    this.handoff.reset();
    this.engine.stop();
    this.view = null;
    this.ordered = null;
    this.order = [];
    this.leases.clear();
    this.advances = [];
    this.obeyedVersion = -1;
    this.obeyedPlayId = null;
    this.setBlocked(false);
  }

  onWelcome(): void {
    this.engine.retry();
  }

  /** After the snapshot or the missed pushes: what was done while nobody could be told. */
  onCaughtUp(): void {
    const player = this.view?.player;
    if (!player || player.active_device_id !== this.deviceId) return;
    for (const advance of this.advances) this.link.send({ ...advance, device_epoch: player.device_epoch });
    this.report();
  }

  onFrame(frame: ServerFrame): void {
    switch (frame.type) {
      case "media":
        this.onMedia(frame);
        return;
      case "prepare":
        this.keep([frame.lease]);
        this.handoff.onPrepare(frame);
        return;
      case "switch":
        this.handoff.onSwitch(frame);
        return;
      case "abort":
        this.handoff.onAbort(frame);
        return;
      default:
        return;
    }
  }

  private onMedia(frame: Media): void {
    this.order = frame.leases;
    this.keep(frame.leases);
    for (const arrived of this.mediaArrived.splice(0)) arrived();
    this.followUp();
    this.engine.retry();
    this.reconcile();
  }

  private keep(leases: readonly Lease[]): void {
    for (const lease of leases) {
      this.leases.delete(lease.play_id);
      this.leases.set(lease.play_id, lease);
    }
    for (const oldest of this.leases.keys()) {
      if (this.leases.size <= LEASES_KEPT) break;
      this.leases.delete(oldest);
    }
  }

  /** How the engine goes from one item to the next. */
  fadeS(from: Lease, to: Lease): number {
    const player = this.view?.player;
    return player ? fadeBetween(crossfadeS.value, player, from.uid, to.uid) : 0;
  }

  /** What comes after the engine's current item, by the newest media frame. */
  followUp(): void {
    const at = this.order.findIndex((lease) => lease.play_id === this.engine.playId);
    if (at >= 0) this.engine.setNext(this.order.slice(at + 1));
  }

  private reconcile(): void {
    const player = this.view?.player;
    if (!player || this.handoff.busy || player.device_epoch < this.handoff.epochAtLeast) return;
    if (player.active_device_id !== this.deviceId) {
      this.leave();
      return;
    }
    window.clearTimeout(this.leaveTimer);
    this.leaveTimer = 0;
    if (player.track === null || player.play_id === null || !(player.is_playing || player.is_paused)) {
      this.obeyedVersion = player.playhead_version;
      this.engine.stop();
      return;
    }
    if (player.play_id === this.engine.playId) {
      if (player.playhead_version > this.obeyedVersion) this.obey(player);
      return;
    }
    // We went on by ourselves and the session has not heard of it yet.
    if (this.advances.length > 0 && player.playhead_version === this.obeyedVersion) return;
    this.begin(player, player.play_id);
  }

  private begin(player: PlayerState, playId: string): void {
    const lease = this.leases.get(playId);
    if (lease === undefined) {
      // It comes with the next media frame; what sounded until now is over.
      if (this.engine.playing) this.engine.stop();
      return;
    }
    this.advances = [];
    this.failedRetries = 0;
    this.obeyedVersion = player.playhead_version;
    this.obeyedPlayId = playId;
    this.setSpeed(player);
    this.engine.start(lease, () => this.duePosition(this.playerOf(playId) ?? player), player.is_playing);
    this.followUp();
    this.report();
  }

  private obey(player: PlayerState): void {
    this.obeyedVersion = player.playhead_version;
    this.setSpeed(player);
    if (!player.is_playing) this.engine.pause();
    const due = this.duePosition(player);
    if (Math.abs(this.engine.positionMs - due) > SAME_PLACE_MS || (player.is_playing && this.engine.atEnd)) {
      this.engine.seek(due);
    }
    if (player.is_playing) this.engine.play();
    this.report();
  }

  private playerOf(playId: string): PlayerState | null {
    const player = this.view?.player;
    return player?.play_id === playId ? player : null;
  }

  /** Where to begin. Right after a command that is the place it named: what the way here took is not skipped. */
  private duePosition(player: PlayerState): number {
    const now = this.link.serverNowMs();
    const { ordered } = this;
    if (ordered?.version === player.playhead_version && now - ordered.atMs < FRESH_START_MS) return ordered.positionMs;
    return positionMs(player, now);
  }

  private setSpeed(player: PlayerState): void {
    this.engine.setPlaybackRate(player.track?.is_speech ? player.set_speed : 1);
  }

  /** Another device plays. When it took over from us, our sound ends at the instant the switch names, not before. */
  private leave(): void {
    this.advances = [];
    this.order = [];
    if (this.engine.playId === null || this.leaveTimer !== 0) return;
    const { handoff } = this.view as View;
    const startAtMs = handoff?.from_device_id === this.deviceId ? (handoff.start_at_ms ?? null) : null;
    const leftMs = startAtMs === null ? 0 : startAtMs - this.link.serverNowMs();
    if (leftMs <= -LEAVE_SLACK_MS || startAtMs === null) {
      this.engine.stop();
      return;
    }
    this.leaveTimer = window.setTimeout(() => {
      this.leaveTimer = 0;
      if (!this.handoff.busy && this.view?.player.active_device_id !== this.deviceId) this.engine.stop();
    }, leftMs + LEAVE_SLACK_MS);
  }

  /** A handoff has ended for us, either way. */
  private settled(): void {
    const player = this.view?.player;
    if (player?.active_device_id === this.deviceId && player.play_id === this.engine.playId) {
      this.obeyedVersion = Math.max(this.obeyedVersion, player.playhead_version);
      this.obeyedPlayId = this.engine.playId;
      const due = positionMs(player, this.link.serverNowMs());
      const isOff = Math.abs(this.engine.positionMs - due) > SAME_PLACE_MS;
      if (isOff || player.is_playing !== this.engine.playing) this.obey(player);
      this.followUp();
      this.report();
    } else {
      this.reconcile();
    }
  }

  // --- what the engine did -------------------------------------------------------------------------------------

  onAdvanced(from: Lease, to: Lease, position: number): void {
    const player = this.view?.player;
    // The target of a handoff plays for nobody yet.
    if (!player || player.active_device_id !== this.deviceId) return;
    const frame: Advanced = {
      type: "advanced",
      device_epoch: player.device_epoch,
      from_uid: from.uid,
      to_uid: to.uid,
      play_id: to.play_id,
      position_ms: Math.round(position),
      measured_at_ms: Math.round(this.link.serverNowMs()),
    };
    this.advances = [...this.advances, frame].slice(-ADVANCES_KEPT);
    this.obeyedPlayId = to.play_id;
    this.link.send(frame);
    this.followUp();
  }

  onEnded(): void {
    this.report();
  }

  onChanged(): void {
    this.error = undefined;
    this.events.trouble(null);
    this.setBlocked(false);
    this.reportSoon();
  }

  onFailed(lease: Lease, why: string): void {
    if (lease.play_id !== this.engine.playId) return;
    this.error = why.slice(0, 200);
    this.events.trouble("The music cannot be fetched right now. Trying again.");
    this.report();
    if (this.failedRetries++ >= FAILED_RETRIES_MAX) {
      this.events.trouble("The music cannot be fetched. Skip the track, or try again later.");
      return;
    }
    window.setTimeout(() => {
      this.link.send({ type: "renew" });
      this.engine.retry();
    }, FAILED_RETRY_MS);
  }

  onBlocked(): void {
    this.setBlocked(true);
  }

  /** The listener has touched the page: the browser lets it sound from now on. */
  async unlock(): Promise<void> {
    const running = await this.graph.resume();
    if (!running) return;
    const wasBlocked = this.blocked;
    this.setBlocked(false);
    const player = this.view?.player;
    if (wasBlocked && player?.active_device_id === this.deviceId && player.is_playing) {
      this.engine.seek(positionMs(player, this.link.serverNowMs()));
      this.engine.play();
    }
  }

  private setBlocked(isBlocked: boolean): void {
    if (isBlocked === this.blocked) return;
    this.blocked = isBlocked;
    this.events.blocked(isBlocked);
  }

  // --- reports -------------------------------------------------------------------------------------------------

  private reportSoon(): void {
    if (this.reportTimer !== 0) return;
    this.reportTimer = window.setTimeout(() => {
      this.reportTimer = 0;
      this.report();
    }, REPORT_WITHIN_MS);
  }

  private report(): void {
    const player = this.view?.player;
    const playId = this.engine.playId;
    if (!player || playId === null || this.handoff.busy) return;
    // Only about what the session believes to be playing here; anything else would be refused.
    if (player.active_device_id !== this.deviceId || player.play_id !== playId || playId !== this.obeyedPlayId) return;
    const throughput = this.fetcher.throughputKbps;
    const frame: Report = {
      type: "report",
      device_epoch: player.device_epoch,
      play_id: playId,
      playhead_version: this.obeyedVersion,
      state: this.reportState(),
      position_ms: Math.round(this.engine.positionMs),
      measured_at_ms: Math.round(this.link.serverNowMs()),
      buffered_ms: this.engine.bufferedMs,
      ...(throughput !== null && { throughput_kbps: throughput }),
      ...(this.error !== undefined && { error: this.error }),
    };
    this.link.send(frame);
  }

  private reportState(): ReportState {
    if (this.engine.atEnd) return "ended";
    if (!this.engine.playing) return "paused";
    return this.engine.buffering || this.blocked ? "buffering" : "playing";
  }

  // --- leases --------------------------------------------------------------------------------------------------

  find(playId: string): Lease | undefined {
    return this.leases.get(playId);
  }

  renew(withinMs: number): Promise<void> {
    this.link.send({ type: "renew" });
    return new Promise((resolve) => {
      const timer = window.setTimeout(resolve, withinMs);
      this.mediaArrived.push(() => {
        window.clearTimeout(timer);
        resolve();
      });
    });
  }
}
