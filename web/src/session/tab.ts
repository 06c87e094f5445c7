// Two tabs of one browser are two devices: opening a second one must not take the music from the first.
//
// Each tab holds a lock on its place while it is open. The first tab has the browser's own id, the second the second,
// and so on; a place that is free again is taken again, so the list of devices does not grow with every tab. Where the
// browser has no locks (a page that came over plain HTTP from another machine) all tabs are one device, and the newest
// one is it.

const PLACE_KEY = "segue.tab";
const PLACES_MAX = 8;
/** A reload may find the lock of the page before it still held for a moment. */
const RELOAD_WAIT_MS = 1_500;

/** 1 for the first tab of this browser. */
export async function takePlace(): Promise<number> {
  if (!("locks" in navigator)) return 1;
  const before = Number(sessionStorage.getItem(PLACE_KEY));
  // A tab that was duplicated believes to be the other one; it waits in vain and looks further.
  if (before >= 1 && before <= PLACES_MAX && (await hold(before, RELOAD_WAIT_MS))) return before;
  for (let place = 1; place <= PLACES_MAX; place++) {
    if (!(await hold(place, 0))) continue;
    sessionStorage.setItem(PLACE_KEY, String(place));
    return place;
  }
  return 1;
}

/** Resolves to whether this tab has the place now; it keeps it until it is closed. */
function hold(place: number, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = withinMs === 0 ? { ifAvailable: true } : { signal: AbortSignal.timeout(withinMs) };
    navigator.locks
      .request(`segue.tab.${place}`, options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise<void>(() => undefined);
      })
      .catch(() => resolve(false));
  });
}
