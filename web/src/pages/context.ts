// What every part of the page can reach: the app, the library, and commands whose failure is told as a short message.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { App } from "../app";
import type { Library } from "../library/library";
import type { Saved } from "../library/saved";
import { canPlay, deviceId } from "../session/device";
import { activeDevice, toast } from "../session/store";
import type { Command, QueueVersion, Reply } from "../wire/frames";
import { errorText } from "./words";

export interface Page {
  readonly app: App;
  readonly library: Library;
  readonly saved: Saved;
  /** Resolves to null when it failed; the listener has been told then. */
  run(command: Command, ifQueueVersion?: QueueVersion): Promise<Reply | null>;
  /** Into the listener's queue, and says so. */
  enqueue(uri: string, name: string, isNext?: boolean): Promise<void>;
}

export function createPage(app: App, library: Library, saved: Saved): Page {
  const run = async (command: Command, ifQueueVersion?: QueueVersion): Promise<Reply | null> => {
    try {
      return await app.link.command(command, ifQueueVersion);
    } catch (error) {
      toast(errorText(error), true);
      return null;
    }
  };
  return {
    app,
    library,
    saved,
    run,
    enqueue: async (uri, name, isNext = false) => {
      const done = await run({ endpoint: "add_to_queue", uris: [uri], ...(isNext && { play_next: true }) });
      if (done !== null) toast(isNext ? `“${name}” comes next.` : `“${name}” is in the queue.`);
    },
  };
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) throw new Error("used outside of the page");
  return page;
}

/** Where to play when nothing is reachable that could: this device is the natural place then, not one that is gone. */
export function hereIfNowhere(): { device_id?: string } {
  return activeDevice.value?.connection === "online" || !canPlay() ? {} : { device_id: deviceId };
}
