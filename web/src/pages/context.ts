// What every part of the page can reach: the app, the library, and commands whose failure is told as a short message.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { App } from "../app";
import type { Library } from "../library/library";
import { toast } from "../session/store";
import type { Command, QueueVersion, Reply } from "../wire/frames";
import { errorText } from "./words";

export interface Page {
  readonly app: App;
  readonly library: Library;
  /** Resolves to null when it failed; the listener has been told then. */
  run(command: Command, ifQueueVersion?: QueueVersion): Promise<Reply | null>;
}

export function createPage(app: App, library: Library): Page {
  return {
    app,
    library,
    run: async (command, ifQueueVersion) => {
      try {
        return await app.link.command(command, ifQueueVersion);
      } catch (error) {
        toast(errorText(error), true);
        return null;
      }
    },
  };
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) throw new Error("used outside of the page");
  return page;
}
