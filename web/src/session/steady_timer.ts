// Timers that keep their time in a hidden tab. A browser throttles those of a page that nobody sees or hears to once a
// minute, and a device that is silent for so long is believed to be gone; a worker's timers it leaves alone.

import type { TimerOrder } from "./timer_worker";

const due = new Map<number, () => void>();
let worker: Worker | null = null;
let nextId = 1;

function order(what: TimerOrder): void {
  if (worker === null) {
    worker = new Worker(new URL("./timer_worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<number>) => {
      const run = due.get(data);
      due.delete(data);
      run?.();
    };
  }
  worker.postMessage(what);
}

/** Like `setTimeout`; the id is never 0. */
export function setSteadyTimeout(run: () => void, afterMs: number): number {
  const id = nextId++;
  due.set(id, run);
  order({ id, afterMs });
  return id;
}

export function clearSteadyTimeout(id: number): void {
  if (due.delete(id)) order({ cancel: id });
}
