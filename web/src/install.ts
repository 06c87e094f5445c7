// Lets the page be installed and its shell load without a network: registers the worker that keeps it (shell_worker.js).

/** Null until the browser offers to install the page. */
export const installOffer: { prompt: (() => Promise<void>) | null } = { prompt: null };

export function installShell(): void {
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    installOffer.prompt = () => (event as Event & { prompt(): Promise<void> }).prompt();
  });
  // Over plain HTTP from another machine there are no workers; the page works without.
  if (import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
