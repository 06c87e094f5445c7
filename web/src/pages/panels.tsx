// The two panels beside the page (below it on a phone): queue and devices. One at a time; Escape closes.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

export type PanelName = "queue" | "devices";

export const openPanel = signal<PanelName | null>(null);

export function togglePanel(panel: PanelName): void {
  openPanel.value = openPanel.value === panel ? null : panel;
}

export function Panel({ name, title, children }: { name: PanelName; title: string; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <aside class="panel" id={`panel-${name}`} aria-label={title}>
      <header class="panel-head">
        <h2 ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <button type="button" class="round minor" aria-label={`Close ${title.toLowerCase()}`} onClick={() => (openPanel.value = null)}>
          <Icon name="close" size={18} />
        </button>
      </header>
      <div class="panel-body">{children}</div>
    </aside>
  );
}
