// Every frame of the conversation, as `connect/frames.py` has it. Times are milliseconds; `…_at_ms` is server time.
// A field that may be absent on the wire is optional here: the sender leaves out what has its default.

export const SUBPROTOCOL_MSGPACK = "segue.v1.msgpack";
export const SUBPROTOCOL_JSON = "segue.v1.json";

// --- what the frames are made of ------------------------------------------------------------------------

export type Repeat = "off" | "context" | "track";
export type RestorePaused = "restore" | "pause" | "resume";
export type DeviceType = "computer" | "smartphone" | "speaker" | "web" | "unknown";
export type Connection = "online" | "grace" | "offline";
export type Phase = "preparing" | "ready" | "committed" | "done" | "aborted";

export interface Capabilities {
  can_be_player: boolean;
  is_controllable: boolean;
  supports_prepare: boolean;
  gapless: boolean;
  volume_steps: number;
  codecs: readonly string[];
  bitrate_kbps_max?: number;
  buffer_ms: number;
}

export interface DeviceInfo {
  device_id: string;
  name: string;
  type: DeviceType;
  capabilities: Capabilities;
  volume_percent: number;
  muted: boolean;
}

export interface Device extends DeviceInfo {
  is_active: boolean;
  connection: Connection;
  last_seen_at_ms: number;
  rtt_ms?: number | null;
  clock_offset_ms?: number | null;
  clock_error_ms?: number | null;
  disallow_transfer_reasons?: readonly string[];
}

export interface Handoff {
  handoff_id: string;
  from_device_id: string | null;
  to_device_id: string;
  phase: Phase;
  deadline_at_ms: number;
  start_at_ms?: number | null;
  gap_ms?: number | null;
  jump_ms?: number | null;
  reason?: string | null;
}

export interface Limits {
  frame_bytes_max: number;
  frames_per_s: number;
  frames_burst: number;
  ping_every_s: number;
  lease_s: number;
  hello_within_s: number;
  prefetch_items: number;
}

export interface Resume {
  owner_epoch: number;
  seq: number;
}

export interface Lease {
  uid: string;
  play_id: string;
  uri: string;
  url: string;
  expires_at_ms: number;
  rendition: string;
  gain_db: number;
  duration_ms: number;
}

export interface QueueVersion {
  major: number;
  minor: number;
}

export interface Reason {
  kind: string;
  text: string;
  seed_uris?: readonly string[];
}

export interface QueueItem {
  uid: string;
  uri: string;
  provider: string;
  duration_ms: number;
  is_speech?: boolean;
  iteration?: number;
  added_by?: string | null;
  added_at_ms?: number | null;
  reason?: Reason | null;
}

export interface SleepTimer {
  at_ms?: number | null;
  end_of_track?: boolean;
}

export interface HandoffResult {
  handoff_id: string;
  from_device_id: string | null;
  to_device_id: string;
  at_ms: number;
  gap_ms?: number | null;
  jump_ms?: number | null;
}

export interface PlayerState {
  session_id: string;
  device_epoch: number;
  active_device_id: string | null;
  is_playing: boolean;
  is_paused: boolean;
  is_buffering: boolean;
  position_as_of_timestamp: number;
  timestamp: number;
  playback_speed: number;
  set_speed: number;
  playhead_version: number;
  started_playing_at: number | null;
  track: QueueItem | null;
  play_id: string | null;
  duration: number;
  context_uri: string | null;
  context_revision: string | null;
  prev_tracks: readonly QueueItem[];
  next_tracks: readonly QueueItem[];
  queue_version: QueueVersion;
  can_undo: boolean;
  can_restore_queue: boolean;
  shuffle: boolean;
  repeat: Repeat;
  sleep_timer: SleepTimer | null;
  disallows: Readonly<Record<string, readonly string[]>>;
  last_handoff: HandoffResult | null;
}

/** The fields of the state that changed; what is absent did not. */
export type PlayerDelta = { [K in keyof PlayerState]?: PlayerState[K] };

// --- commands --------------------------------------------------------------------------------------------

export type Command =
  | {
      endpoint: "play";
      context_uri?: string;
      uris?: readonly string[];
      offset_uri?: string;
      offset_index?: number;
      position_ms?: number;
      shuffle?: boolean;
      device_id?: string;
    }
  | { endpoint: "pause" }
  | { endpoint: "resume"; device_id?: string }
  | { endpoint: "seek_to"; position_ms: number }
  | { endpoint: "skip_next"; from_uid?: string }
  | { endpoint: "skip_prev"; from_uid?: string }
  | { endpoint: "play_item"; uid: string }
  | { endpoint: "set_shuffle"; shuffle: boolean }
  | { endpoint: "set_repeat"; repeat: Repeat }
  | { endpoint: "set_speed"; speed: number }
  | { endpoint: "add_to_queue"; uris: readonly string[]; after_uid?: string; play_next?: boolean }
  | { endpoint: "remove_from_queue"; uids: readonly string[] }
  | { endpoint: "move_in_queue"; uids: readonly string[]; after_uid?: string }
  | { endpoint: "clear_queue" }
  | { endpoint: "undo" }
  | { endpoint: "restore_queue" }
  | { endpoint: "set_sleep_timer"; duration_ms?: number; end_of_track?: boolean }
  | { endpoint: "transfer"; device_id: string; restore_paused?: RestorePaused; plan?: boolean }
  | { endpoint: "set_volume"; volume_percent?: number; delta_percent?: number; device_id?: string }
  | { endpoint: "rename_device"; device_id: string; name: string }
  | { endpoint: "forget_device"; device_id: string };

// --- from the client -------------------------------------------------------------------------------------

export interface Hello {
  type: "hello";
  ticket: string;
  device: DeviceInfo;
  connection_nonce: string;
  resume?: Resume;
  play_id?: string;
}

export interface CommandFrame {
  type: "command";
  command_id: string;
  command: Command;
  if_device_epoch?: number;
  if_queue_version?: QueueVersion;
}

export type ReportState = "playing" | "paused" | "buffering" | "ended";

export interface Report {
  type: "report";
  device_epoch: number;
  play_id: string;
  playhead_version: number;
  state: ReportState;
  position_ms: number;
  measured_at_ms: number;
  buffered_ms?: number;
  throughput_kbps?: number;
  error?: string;
}

export interface Advanced {
  type: "advanced";
  device_epoch: number;
  from_uid: string;
  to_uid: string;
  play_id: string;
  position_ms: number;
  measured_at_ms: number;
}

export interface VolumeReport {
  type: "volume";
  volume_percent: number;
  muted?: boolean;
}

export interface Ready {
  type: "ready";
  handoff_id: string;
  buffered_ms: number;
  start_delay_ms?: number;
  attempt?: number;
}

export interface Refuse {
  type: "refuse";
  handoff_id: string;
  reason: string;
}

export interface Switched {
  type: "switched";
  handoff_id: string;
  at_ms: number;
  position_ms: number;
}

export interface Ping {
  type: "ping";
  t0_ms: number;
  rtt_ms?: number;
  clock_offset_ms?: number;
  clock_error_ms?: number;
}

export interface Renew {
  type: "renew";
}

export interface Goodbye {
  type: "goodbye";
  reason: "shutdown" | "restart" | "user_request" | "another_server";
}

export type ClientFrame =
  | Hello
  | CommandFrame
  | Report
  | Advanced
  | VolumeReport
  | Ready
  | Refuse
  | Switched
  | Ping
  | Renew
  | Goodbye;

// --- from the server -------------------------------------------------------------------------------------

export interface Welcome {
  type: "welcome";
  session_id: string;
  device_id: string;
  owner_epoch: number;
  seq: number;
  now_ms: number;
  limits: Limits;
  resumed: boolean;
}

export interface Snapshot {
  type: "snapshot";
  owner_epoch: number;
  seq: number;
  player: PlayerState;
  devices: readonly Device[];
  handoff: Handoff | null;
  reason: string;
}

export interface Push {
  type: "push";
  owner_epoch: number;
  seq: number;
  player?: PlayerDelta;
  devices?: readonly Device[];
  handoff?: Handoff | null;
  durable?: boolean;
  command_id?: string;
}

export interface ErrorBody {
  code: string;
  message: string;
  details?: Readonly<Record<string, unknown>>;
  retry_after_ms?: number;
}

export interface Reply {
  type: "reply";
  command_id: string;
  ok: boolean;
  seq?: number;
  result?: Readonly<Record<string, unknown>>;
  error?: ErrorBody;
}

export interface Media {
  type: "media";
  device_epoch: number;
  leases: readonly Lease[];
}

export interface Prepare {
  type: "prepare";
  handoff_id: string;
  device_epoch: number;
  player: PlayerState;
  lease: Lease;
  deadline_at_ms: number;
  will_play: boolean;
  attempt?: number;
}

export interface Switch {
  type: "switch";
  handoff_id: string;
  device_epoch: number;
  role: string;
  start_at_ms: number;
  position_ms: number;
  playing: boolean;
}

export interface Abort {
  type: "abort";
  handoff_id: string;
  reason: string;
}

export interface SetVolume {
  type: "set_volume";
  volume_percent: number;
  muted?: boolean;
}

export interface Pong {
  type: "pong";
  t0_ms: number;
  t1_ms: number;
  t2_ms: number;
}

export interface ErrorFrame {
  type: "error";
  error: ErrorBody;
}

export interface GoAway {
  type: "goaway";
  reason: string;
  reconnect_after_ms: number;
  jitter_ms: number;
}

export type ServerFrame =
  | Welcome
  | Snapshot
  | Push
  | Reply
  | Media
  | Prepare
  | Switch
  | Abort
  | SetVolume
  | Pong
  | ErrorFrame
  | GoAway;

export type Frame = ClientFrame | ServerFrame;
