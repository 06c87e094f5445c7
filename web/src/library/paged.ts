// A listing that is read page by page, as far as somebody wants to see it.

import { useEffect, useRef, useState } from "preact/hooks";
import { usePage } from "../pages/context";
import { errorText } from "../pages/words";
import { linkStatus } from "../session/store";

export interface Paged<T> {
  readonly items: readonly T[];
  /** Link to the next page; its path and query are what counts. */
  readonly next: string | null;
}

export interface Listing<T> {
  /** Null before the first page. */
  readonly items: readonly T[] | null;
  readonly wrong: string | null;
  /** Null when there is no more. Also what tries again after a fault. */
  readonly more: (() => void) | null;
}

const ITEMS_MAX = 5_000;

/** Reads `path` and begins anew when it or `version` changes. `pick` finds the page in the answer. */
export function useListing<A, T>(path: string | null, pick: (answer: A) => Paged<T>, version = 0): Listing<T> {
  const { app } = usePage();
  const [items, setItems] = useState<readonly T[] | null>(null);
  const [next, setNext] = useState<string | null>(path);
  const [wrong, setWrong] = useState<string | null>(null);
  const generation = useRef(0);

  async function read(from: string, before: readonly T[]): Promise<void> {
    const mine = generation.current;
    setWrong(null);
    try {
      const page = pick(await app.rest.get<A>(from));
      if (mine !== generation.current) return;
      const all = [...before, ...page.items];
      setItems(all);
      setNext(page.next === null || all.length >= ITEMS_MAX ? null : pathOf(page.next));
    } catch (error) {
      if (mine === generation.current) setWrong(errorText(error));
    }
  }

  useEffect(() => {
    generation.current++;
    // What is shown stays until the new page is there, unless it is of something else.
    setNext(path);
    if (path !== null) void read(path, []);
  }, [path, version]);
  useEffect(() => setItems(null), [path]);

  // What failed without a network is read when it is there again.
  const isOnline = linkStatus.value.what === "online";
  useEffect(() => {
    if (isOnline && wrong !== null && next !== null) void read(next, items ?? []);
  }, [isOnline]);

  return { items, wrong, more: next === null ? null : () => void read(next, items ?? []) };
}

/** A link of the server's as a path of this page's origin: the page may be reached under another name. */
export function pathOf(link: string): string {
  const url = new URL(link, "http://here/");
  return url.pathname + url.search;
}
