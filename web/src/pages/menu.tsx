// A button that opens a short list of things to do. Arrows move in it, Escape and a click elsewhere close it.

import { useEffect, useRef, useState } from "preact/hooks";
import type { IconName } from "./icons";
import { Icon } from "./icons";

export interface MenuEntry {
  readonly label: string;
  readonly icon?: IconName;
  readonly disabled?: boolean;
  readonly isChosen?: boolean;
  /** Either does something or leads somewhere. */
  readonly href?: string;
  readonly run?: () => void;
}

interface Props {
  label: string;
  entries: readonly MenuEntry[];
  icon?: IconName;
  size?: number;
  class?: string;
  pressed?: boolean;
}

export function Menu({ label, entries, icon = "more", size = 20, class: className = "round minor", pressed }: Props) {
  const [open, setOpen] = useState<{ top: number; right: number; isAbove: boolean } | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);

  const close = (focus: boolean): void => {
    setOpen(null);
    if (focus) button.current?.focus();
  };
  useEffect(() => {
    if (open === null) return;
    list.current?.querySelector<HTMLElement>("[role^=menuitem]:not([aria-disabled])")?.focus({ preventScroll: true });
    const away = (event: Event): void => {
      const at = event.target as Node;
      if (!list.current?.contains(at) && !button.current?.contains(at)) close(false);
    };
    const gone = (): void => close(false);
    addEventListener("pointerdown", away, true);
    addEventListener("scroll", away, true);
    addEventListener("resize", gone);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("scroll", away, true);
      removeEventListener("resize", gone);
    };
  }, [open !== null]);

  function show(): void {
    const box = button.current?.getBoundingClientRect();
    if (box === undefined) return;
    // Beside the button, on the side where there is room.
    const isAbove = box.bottom > innerHeight / 2;
    setOpen({ top: isAbove ? box.top - 4 : box.bottom + 4, right: Math.max(8, document.documentElement.clientWidth - box.right), isAbove });
  }

  function onKey(event: KeyboardEvent): void {
    const items = [...(list.current?.querySelectorAll<HTMLElement>("[role^=menuitem]:not([aria-disabled])") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const step: Readonly<Record<string, number>> = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 };
    const to = step[event.key];
    if (to !== undefined) items[to % items.length]?.focus();
    else if (event.key === "Escape") close(true);
    else if (event.key === "Tab") return close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        class={className}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open !== null}
        {...(pressed !== undefined && { "data-on": pressed })}
        onClick={() => (open === null ? show() : close(false))}
      >
        <Icon name={icon} size={size} />
      </button>
      {open !== null && (
        <div
          ref={list}
          class={`menu ${open.isAbove ? "above" : ""}`}
          role="menu"
          aria-label={label}
          style={{ top: `${open.top}px`, right: `${open.right}px` }}
          onKeyDown={onKey}
        >
          {entries.map((entry) => {
            const inner = (
              <>
                {entry.icon !== undefined && <Icon name={entry.icon} size={18} />}
                {entry.label}
              </>
            );
            if (entry.href !== undefined) {
              return (
                <a key={entry.label} role="menuitem" tabIndex={-1} href={entry.href} onClick={() => close(false)}>
                  {inner}
                </a>
              );
            }
            return (
              <button
                key={entry.label}
                type="button"
                role={entry.isChosen === undefined ? "menuitem" : "menuitemradio"}
                tabIndex={-1}
                {...(entry.isChosen !== undefined && { "aria-checked": entry.isChosen })}
                {...(entry.disabled && { "aria-disabled": true })}
                onClick={() => {
                  if (entry.disabled) return;
                  close(true);
                  entry.run?.();
                }}
              >
                {inner}
              </button>
            );
          })}
        </div>
      )}
    </>
  );
}
