// One conversation with the host that owns this user's session: connects, says hello, keeps the clock, answers every
// command with its reply, and comes back after any break by itself unless the server said that it must not.

import type { ClientFrame, Command, QueueVersion, Reply, Resume, ServerFrame, Welcome } from "../wire/frames";
import { SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK } from "../wire/frames";
import type { Codec } from "../wire/codec";
import { codecFor } from "../wire/codec";
import { afterClose, backoffMs, STABLE_AFTER_MS, stoppedText } from "./backoff";
import { ClockFilter, deviceNowMs } from "./clock";
import { deviceInfo, randomId } from "./device";
import { CommandFailed, RestError } from "./failure";
import type { Rest } from "./rest";
import { clearSteadyTimeout, setSteadyTimeout } from "./steady_timer";

export const COMMAND_TIMEOUT_MS = 12_000;
export const COMMANDS_WAITING_MAX = 32;
const WELCOME_TIMEOUT_MS = 8_000;
const PING_BURST = 3;
const PING_BURST_EVERY_MS = 1_000;
/** Nothing heard for this many ping intervals: the network is gone although the socket does not know it. */
const SILENT_INTERVALS = 2.5;
const NEW_TICKETS_MAX = 2;

export type LinkStatus =
  | { readonly what: "off" }
  | { readonly what: "connecting" }
  | { readonly what: "online" }
  | { readonly what: "waiting"; readonly untilMs: number; readonly why: string }
  | { readonly what: "stopped"; readonly why: string };

export interface LinkEvents {
  status(status: LinkStatus): void;
  welcome(frame: Welcome): void;
  /** Everything but welcome, pong and reply. */
  frame(frame: ServerFrame): void;
  resume(): Resume | undefined;
  playId(): string | undefined;
}

interface Waiting {
  readonly frame: ClientFrame;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: CommandFailed) => void;
  readonly timer: number;
}

export class Link {
  readonly clock = new ClockFilter();
  private socket: WebSocket | null = null;
  private codec: Codec | null = null;
  private welcomed = false;
  private running = false;
  /** Held down by a test: no connection is made until it is restored. */
  private held = false;
  private attempt = 0;
  private ticketsRefused = 0;
  private timer = 0;
  private pingTimer = 0;
  private pingEveryMs = 10_000;
  private pingsSent = 0;
  private heardAtMs = 0;
  private onlineAtMs = 0;
  /** Grows with every attempt, so that what an older one still brings is dropped. */
  private generation = 0;
  private readonly waiting = new Map<string, Waiting>();

  constructor(
    private readonly rest: Rest,
    private readonly events: LinkEvents,
    private readonly preferJson: boolean = false,
  ) {}

  get online(): boolean {
    return this.welcomed;
  }

  serverNowMs(): number {
    return deviceNowMs() - this.clock.offsetMs;
  }

  open(): void {
    if (this.running) return;
    this.running = true;
    this.attempt = 0;
    this.connectSoon(0, "");
    addEventListener("online", this.onNetwork);
    addEventListener("pagehide", this.onPageHide);
    addEventListener("pageshow", this.onPageShow);
  }

  close(): void {
    if (!this.running) return;
    this.running = false;
    removeEventListener("online", this.onNetwork);
    removeEventListener("pagehide", this.onPageHide);
    removeEventListener("pageshow", this.onPageShow);
    this.send({ type: "goodbye", reason: "user_request" });
    this.leave();
    this.failAll("GOING_AWAY", "this device signed out");
    this.events.status({ what: "off" });
  }

  /** Leave now and come back with a resume: the state has a hole. */
  restart(): void {
    if (!this.running) return;
    this.leave();
    this.connectSoon(backoffMs(this.attempt++, Math.random), "catching up");
  }

  /** Say hello anew at once: what this device can or wants has changed. */
  renewHello(): void {
    if (!this.running || !this.welcomed) return;
    this.leave();
    this.connectSoon(0, "");
  }

  drop(): void {
    this.held = true;
    this.leave();
    this.events.status({ what: "waiting", untilMs: Number.POSITIVE_INFINITY, why: "The connection is held down." });
  }

  restore(): void {
    this.held = false;
    if (this.running) this.connectSoon(0, "");
  }

  /** False when there is nobody to send to; reports and the like are then simply not said. */
  send(frame: ClientFrame): boolean {
    if (!this.welcomed || this.socket?.readyState !== WebSocket.OPEN || this.codec === null) return false;
    this.socket.send(this.codec.encode(frame));
    return true;
  }

  /**
   * One command, answered by its reply. While the link is down it waits and is sent again with the same id, which the
   * server answers from memory if it had already done it. Rejects with CommandFailed.
   */
  command(command: Command, ifQueueVersion?: QueueVersion): Promise<Reply> {
    if (this.waiting.size >= COMMANDS_WAITING_MAX) {
      return Promise.reject(new CommandFailed("BUSY", "too many commands are waiting for an answer"));
    }
    const id = randomId(16);
    const frame: ClientFrame = {
      type: "command",
      command_id: id,
      command,
      ...(ifQueueVersion && { if_queue_version: ifQueueVersion }),
    };
    return new Promise<Reply>((resolve, reject) => {
      const timer = window.setTimeout(() => {
        this.waiting.delete(id);
        reject(new CommandFailed("TIMEOUT", `no answer to ${command.endpoint} within ${COMMAND_TIMEOUT_MS} ms`));
      }, COMMAND_TIMEOUT_MS);
      this.waiting.set(id, { frame, resolve, reject, timer });
      this.send(frame);
    });
  }

  // --- connecting ----------------------------------------------------------------------------------------

  private connectSoon(afterMs: number, why: string): void {
    clearSteadyTimeout(this.timer);
    if (this.held || !this.running) return;
    if (afterMs > 0) this.events.status({ what: "waiting", untilMs: deviceNowMs() + afterMs, why });
    this.timer = setSteadyTimeout(() => void this.connect(), afterMs);
  }

  private async connect(): Promise<void> {
    const generation = ++this.generation;
    this.events.status({ what: "connecting" });
    try {
      const where = await this.rest.connect();
      if (generation !== this.generation || this.held) return;
      const known = this.preferJson ? [SUBPROTOCOL_JSON] : [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON];
      this.join(new WebSocket(where.url, known), where.ticket, generation);
    } catch (error) {
      if (generation !== this.generation || !this.running) return;
      if (error instanceof RestError && error.status === 401) return;
      const waitMs = error instanceof RestError ? error.retryAfterMs : null;
      const why = error instanceof RestError && error.status === 0 ? error.message : "The server is not ready yet.";
      this.connectSoon(Math.max(waitMs ?? 0, backoffMs(this.attempt++, Math.random)), why);
    }
  }

  private join(socket: WebSocket, ticket: string, generation: number): void {
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    const mine = () => this.generation === generation && this.socket === socket;
    this.timer = setSteadyTimeout(() => mine() && !this.welcomed && this.lost("The server did not answer."), WELCOME_TIMEOUT_MS);
    socket.onopen = () => {
      if (!mine()) return;
      this.codec = codecFor(socket.protocol);
      const resume = this.events.resume();
      const playId = this.events.playId();
      socket.send(
        this.codec.encode({
          type: "hello",
          ticket,
          device: deviceInfo(),
          connection_nonce: randomId(16),
          ...(resume && { resume }),
          ...(playId && { play_id: playId }),
        }),
      );
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (!mine() || this.codec === null) return;
      this.heardAtMs = deviceNowMs();
      let frame: ServerFrame;
      try {
        frame = this.codec.decode(event.data);
      } catch {
        this.lost("The server sent something unreadable.");
        return;
      }
      this.take(frame);
    };
    socket.onclose = (event) => mine() && this.closed(event.code, event.reason);
  }

  private take(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        this.begin(frame);
        return;
      case "pong":
        this.clock.add(frame.t0_ms, frame.t1_ms, frame.t2_ms, this.heardAtMs);
        return;
      case "reply":
        this.answer(frame);
        return;
      case "goaway":
        this.leave();
        this.connectSoon(
          Math.max(1, frame.reconnect_after_ms + frame.jitter_ms * Math.random()),
          "The server asked to connect again.",
        );
        return;
      default:
        this.events.frame(frame);
    }
  }

  private begin(frame: Welcome): void {
    clearSteadyTimeout(this.timer);
    this.welcomed = true;
    this.ticketsRefused = 0;
    this.onlineAtMs = deviceNowMs();
    this.clock.clear();
    this.clock.begin(frame.now_ms, this.heardAtMs);
    this.pingEveryMs = Math.max(1, frame.limits.ping_every_s) * 1000;
    this.pingsSent = 0;
    this.ping();
    this.events.status({ what: "online" });
    this.events.welcome(frame);
    for (const { frame: command } of this.waiting.values()) this.send(command);
  }

  private answer(reply: Reply): void {
    const asked = this.waiting.get(reply.command_id);
    if (asked === undefined) return;
    this.waiting.delete(reply.command_id);
    window.clearTimeout(asked.timer);
    if (reply.ok) asked.resolve(reply);
    else {
      const error = reply.error ?? { code: "INTERNAL", message: "the server gave no reason" };
      asked.reject(new CommandFailed(error.code, error.message, error.details));
    }
  }

  // --- staying -------------------------------------------------------------------------------------------

  private ping(): void {
    clearSteadyTimeout(this.pingTimer);
    const now = deviceNowMs();
    if (now - this.heardAtMs > this.pingEveryMs * SILENT_INTERVALS) {
      this.lost("The server has gone quiet.");
      return;
    }
    const known = this.clock.estimate;
    this.send({
      type: "ping",
      t0_ms: now,
      ...(known && { rtt_ms: known.rttMs, clock_offset_ms: known.offsetMs, clock_error_ms: known.errorMs }),
    });
    this.pingsSent++;
    const nextMs = this.pingsSent < PING_BURST + 1 ? PING_BURST_EVERY_MS : this.pingEveryMs;
    this.pingTimer = setSteadyTimeout(() => this.ping(), nextMs);
  }

  private closed(code: number, reason: string): void {
    this.leave();
    switch (afterClose(code)) {
      case "stop":
        this.stop(stoppedText(code, reason));
        return;
      case "new_ticket":
        if (++this.ticketsRefused > NEW_TICKETS_MAX) {
          this.stop(stoppedText(code, reason));
          return;
        }
        break;
      case "reconnect":
        break;
    }
    this.connectSoon(backoffMs(this.attempt++, Math.random), "The connection broke.");
  }

  private lost(why: string): void {
    this.leave();
    this.connectSoon(backoffMs(this.attempt++, Math.random), why);
  }

  private stop(why: string): void {
    this.running = false;
    this.failAll("GOING_AWAY", "the connection has ended");
    this.events.status({ what: "stopped", why });
  }

  private leave(): void {
    this.generation++;
    clearSteadyTimeout(this.timer);
    clearSteadyTimeout(this.pingTimer);
    if (this.welcomed && deviceNowMs() - this.onlineAtMs > STABLE_AFTER_MS) this.attempt = 0;
    this.welcomed = false;
    const socket = this.socket;
    this.socket = null;
    this.codec = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private failAll(code: string, message: string): void {
    for (const { reject, timer } of this.waiting.values()) {
      window.clearTimeout(timer);
      reject(new CommandFailed(code, message));
    }
    this.waiting.clear();
  }

  // A phone that found its network again need not sit out the wait.
  private readonly onNetwork = (): void => {
    if (!this.welcomed && this.socket === null) this.connectSoon(backoffMs(0, Math.random), "");
  };

  private readonly onPageHide = (): void => {
    this.send({ type: "goodbye", reason: "shutdown" });
    this.leave();
  };

  private readonly onPageShow = (event: PageTransitionEvent): void => {
    if (event.persisted) this.connectSoon(0, "");
  };
}
