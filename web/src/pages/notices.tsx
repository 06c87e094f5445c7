// What the page has to say by itself: how the connection is, and short messages.

import { useEffect, useState } from "preact/hooks";
import { deviceNowMs } from "../session/clock";
import { dismiss, linkStatus, toasts, view } from "../session/store";
import { usePage } from "./context";
import { Icon } from "./icons";

/** A connection that is made within this time needs no words. */
const QUIET_MS = 1_200;

export function ConnectionBanner() {
  const { app } = usePage();
  const status = linkStatus.value;
  const [, setBeat] = useState(0);
  const [since, setSince] = useState(deviceNowMs);
  useEffect(() => {
    if (status.what === "online") return;
    setSince(deviceNowMs());
  }, [status.what === "online"]);
  useEffect(() => {
    if (status.what === "online" || status.what === "stopped") return;
    const timer = setInterval(() => setBeat((beat) => beat + 1), 500);
    return () => clearInterval(timer);
  }, [status]);

  if (status.what === "online" || status.what === "off") return null;
  if (status.what === "stopped") {
    return (
      <div class="banner" role="alert">
        <span>{status.why}</span>
        <button type="button" onClick={() => app.link.open()}>
          Use this tab
        </button>
      </div>
    );
  }
  if (deviceNowMs() - since < QUIET_MS && view.value !== null) return null;
  return (
    <div class="banner" role="status">
      {status.what === "connecting" ? "Connecting…" : waitingText(status.why, status.untilMs)}
    </div>
  );
}

function waitingText(why: string, untilMs: number): string {
  const seconds = Math.ceil((untilMs - deviceNowMs()) / 1000);
  const when = !Number.isFinite(seconds) ? "" : seconds <= 1 ? " Trying again now." : ` Trying again in ${seconds} s.`;
  return `${why || "The connection broke."}${when} Music that is already here plays on.`;
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.isError ? "error" : ""}`}>
          <span>{one.text}</span>
          <button type="button" class="round tiny" aria-label="Dismiss" onClick={() => dismiss(one.id)}>
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </div>
  );
}
