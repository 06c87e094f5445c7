// What this listener keeps: a heart for each URI, asked for in bunches when it is first shown, and changed at once on
// the page while the server is told. A change that the server refuses is taken back.

import { signal } from "@preact/signals";
import type { Rest } from "../session/rest";

const URIS_PER_REQUEST = 50;
const HEARTS_KEPT = 4_000;
const GATHER_MS = 15;

export class Saved {
  /** By URI. Replaced as a whole, so that whoever reads it is told. */
  readonly hearts = signal<ReadonlyMap<string, boolean>>(new Map());
  /** Grows with each change, so that a list of what is kept reads itself again. */
  readonly version = signal(0);
  private readonly asked = new Set<string>();
  private wanted = new Set<string>();

  constructor(private readonly rest: Rest) {}

  clear(): void {
    this.hearts.value = new Map();
    this.asked.clear();
  }

  /** False too while it is not known. */
  has(uri: string): boolean {
    const known = this.hearts.value.get(uri);
    if (known === undefined && !this.asked.has(uri)) {
      this.asked.add(uri);
      if (this.wanted.size === 0) setTimeout(() => void this.ask(), GATHER_MS);
      this.wanted.add(uri);
    }
    return known ?? false;
  }

  /** Rejects with RestError when the server would not; the heart is as it was then. */
  async set(uri: string, isSaved: boolean): Promise<void> {
    const before = this.hearts.value.get(uri);
    this.put([[uri, isSaved]]);
    try {
      await this.rest.change(isSaved ? "PUT" : "DELETE", `/v1/me/library?uris=${encodeURIComponent(uri)}`);
    } catch (error) {
      this.put([[uri, before ?? !isSaved]]);
      throw error;
    }
    this.version.value++;
  }

  private async ask(): Promise<void> {
    const uris = [...this.wanted];
    this.wanted = new Set();
    for (let i = 0; i < uris.length; i += URIS_PER_REQUEST) {
      const chunk = uris.slice(i, i + URIS_PER_REQUEST);
      try {
        const query = encodeURIComponent(chunk.join(","));
        const answers = await this.rest.get<readonly boolean[]>(`/v1/me/library/contains?uris=${query}`);
        // What the listener has changed meanwhile counts.
        this.put(chunk.flatMap((uri, at) => (this.hearts.value.has(uri) ? [] : [[uri, answers[at] ?? false] as const])));
      } catch {
        for (const uri of chunk) this.asked.delete(uri);
      }
    }
  }

  private put(entries: readonly (readonly [string, boolean])[]): void {
    const all = new Map(this.hearts.value);
    for (const [uri, isSaved] of entries) {
      all.delete(uri);
      all.set(uri, isSaved);
    }
    for (const oldest of all.keys()) {
      if (all.size <= HEARTS_KEPT) break;
      all.delete(oldest);
      this.asked.delete(oldest);
    }
    this.hearts.value = all;
  }
}
