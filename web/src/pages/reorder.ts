// Moving one row of a list to another place: where it would land, and the list as it would be. Pure.

/** Where the row that began at `from` lands after it was dragged down by `dy`; rows are `height` high. */
export function landing(from: number, dy: number, height: number, count: number): number {
  if (height <= 0) return from;
  return Math.min(count - 1, Math.max(0, from + Math.round(dy / height)));
}

export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const next = [...list];
  const [item] = next.splice(from, 1);
  if (item !== undefined) next.splice(to, 0, item);
  return next;
}

/** How far a row that is not dragged makes room: one row up, one row down, or not at all. */
export function roomFor(index: number, from: number, to: number): -1 | 0 | 1 {
  if (from < index && index <= to) return -1;
  if (to <= index && index < from) return 1;
  return 0;
}
