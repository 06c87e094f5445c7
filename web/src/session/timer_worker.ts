// The timers of steady_timer.ts, where a browser does not slow them down because nobody looks at the page.

export type TimerOrder = { readonly id: number; readonly afterMs: number } | { readonly cancel: number };

const running = new Map<number, ReturnType<typeof setTimeout>>();

onmessage = ({ data }: MessageEvent<TimerOrder>) => {
  if ("cancel" in data) {
    clearTimeout(running.get(data.cancel));
    running.delete(data.cancel);
    return;
  }
  const { id, afterMs } = data;
  const timer = setTimeout(() => {
    running.delete(id);
    postMessage(id);
  }, afterMs);
  running.set(id, timer);
};
