// Bytes under a lease: range requests with bounded retries. A lease that has run out is asked for anew and waited for;
// a network that is gone is tried again with growing pauses while what is buffered plays on.

import type { Lease } from "../wire/frames";
import type { Rendition } from "./manifest";
import { renditionOf } from "./manifest";
import type { ByteRange } from "./timeline";

const ATTEMPTS_MAX = 8;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 8_000;
const RENEW_WAIT_MS = 5_000;
const RENEWALS_MAX = 3;
const REQUEST_TIMEOUT_MS = 15_000;
const RENDITIONS_KEPT = 12;
/** Smaller answers say more about latency than about throughput. */
const THROUGHPUT_BYTES_MIN = 24_000;
const THROUGHPUT_WEIGHT = 0.3;

export class FetchFailed extends Error {}

export interface LeaseBook {
  /** The newest lease for this play. */
  find(playId: string): Lease | undefined;
  /** Asks for fresh leases; resolves when they have come or `withinMs` is over. */
  renew(withinMs: number): Promise<void>;
}

export class Fetcher {
  private readonly renditions = new Map<string, Rendition>();
  private kbps: number | null = null;

  constructor(private readonly leases: LeaseBook) {}

  /** Kilobits per second over the last requests; null before the first large one. */
  get throughputKbps(): number | null {
    return this.kbps === null ? null : Math.round(Math.min(this.kbps, 10_000_000));
  }

  async rendition(lease: Lease, signal: AbortSignal): Promise<Rendition> {
    const key = `${lease.uri} ${lease.rendition}`;
    const known = this.renditions.get(key);
    if (known !== undefined) return known;
    const answer = await this.request(lease, "manifest.json", null, signal);
    const manifest: unknown = JSON.parse(new TextDecoder().decode(answer));
    const rendition = renditionOf(manifest, lease.rendition, (mime) => MediaSource.isTypeSupported(mime));
    this.renditions.set(key, rendition);
    for (const oldest of this.renditions.keys()) {
      if (this.renditions.size <= RENDITIONS_KEPT) break;
      this.renditions.delete(oldest);
    }
    return rendition;
  }

  bytes(lease: Lease, file: string, range: ByteRange, signal: AbortSignal): Promise<ArrayBuffer> {
    return this.request(lease, file, range, signal);
  }

  private async request(first: Lease, file: string, range: ByteRange | null, signal: AbortSignal): Promise<ArrayBuffer> {
    let renewals = 0;
    let why = "";
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      signal.throwIfAborted();
      const lease = this.leases.find(first.play_id) ?? first;
      try {
        const began = performance.now();
        const response = await fetch(lease.url + file, {
          // A range that the cache holds partly may be answered from there: files never change under their name.
          headers: range === null ? {} : { Range: `bytes=${range.from}-${range.to}` },
          signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
        });
        if (response.status === (range === null ? 200 : 206)) {
          const body = await response.arrayBuffer();
          this.measure(body.byteLength, performance.now() - began);
          return body;
        }
        why = `status ${response.status} for ${file}`;
        if (response.status === 401 || response.status === 403 || response.status === 410) {
          if (++renewals > RENEWALS_MAX) break;
          await this.leases.renew(RENEW_WAIT_MS);
          continue;
        }
        if (response.status < 500 && response.status !== 429) break;
      } catch (error) {
        signal.throwIfAborted();
        why = `${file} cannot be reached (${String(error)})`;
      }
      await pause(Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt) * (0.5 + Math.random() / 2), signal);
    }
    throw new FetchFailed(why);
  }

  private measure(bytes: number, ms: number): void {
    if (bytes < THROUGHPUT_BYTES_MIN || ms <= 0) return;
    const kbps = (bytes * 8) / ms;
    this.kbps = this.kbps === null ? kbps : this.kbps + THROUGHPUT_WEIGHT * (kbps - this.kbps);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
