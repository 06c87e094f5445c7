// What comes next, lane by lane, and what one may do with it. The listener's own lane can be put into another order:
// by its handle with a pointer, by the arrow keys on the handle (or with Alt anywhere in the row), or from the menu.

import { useEffect, useRef, useState } from "preact/hooks";
import { albumOf, artistNames, clockText } from "../library/library";
import { player } from "../session/store";
import type { QueueItem } from "../wire/frames";
import { usePage } from "./context";
import { Cover } from "./cover";
import { Icon } from "./icons";
import type { MenuEntry } from "./menu";
import { Menu } from "./menu";
import { Panel } from "./panels";
import { landing, moved, roomFor } from "./reorder";
import { albumHref } from "./route";

/** A row this close to the edge of what is seen makes it scroll. */
const EDGE_PX = 48;
const SCROLL_PX = 10;

export function Queue() {
  const { run } = usePage();
  const state = player.value;
  const next = state?.next_tracks ?? [];
  const own = next.filter((item) => item.provider === "queue");
  const context = next.filter((item) => item.provider === "context");
  const autoplay = next.filter((item) => item.provider !== "queue" && item.provider !== "context");
  const before = state?.prev_tracks ?? [];

  return (
    <Panel name="queue" title="Queue">
      <div class="panel-actions" role="group" aria-label="Queue">
        <button type="button" disabled={!(state?.can_undo ?? false)} onClick={() => void run({ endpoint: "undo" })}>
          <Icon name="undo" size={16} /> Undo
        </button>
        <button type="button" disabled={own.length === 0} onClick={() => void run({ endpoint: "clear_queue" }, state?.queue_version)}>
          Clear queue
        </button>
        {state?.can_restore_queue && (
          <button type="button" onClick={() => void run({ endpoint: "restore_queue" })}>
            Bring back what played before
          </button>
        )}
      </div>
      {before.length > 0 && (
        <details class="away">
          <summary>Played before</summary>
          <ul class="items">
            {before.map((item) => (
              <Item key={item.uid} item={item} />
            ))}
          </ul>
        </details>
      )}
      {state?.track && (
        <section aria-label="Now playing">
          <h3>Now playing</h3>
          <ul class="items">
            <Item item={state.track} isCurrent />
          </ul>
        </section>
      )}
      {own.length > 0 && (
        <section aria-label="Your queue">
          <h3>Your queue</h3>
          <OwnLane items={own} />
        </section>
      )}
      <Lane title="Next" items={context} />
      <Lane title="After that, in the same vein" items={autoplay} />
      {next.length === 0 && <p class="quiet">Nothing comes after this. Add tracks with the plus beside them.</p>}
    </Panel>
  );
}

function Lane({ title, items }: { title: string; items: readonly QueueItem[] }) {
  if (items.length === 0) return null;
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <ul class="items">
        {items.map((item) => (
          <Item key={item.uid} item={item} />
        ))}
      </ul>
    </section>
  );
}

interface Drag {
  readonly from: number;
  readonly to: number;
  readonly dy: number;
  readonly height: number;
}

function OwnLane({ items }: { items: readonly QueueItem[] }) {
  const { run, library } = usePage();
  const [drag, setDrag] = useState<Drag | null>(null);
  /** The order as it was asked for, shown until the session has it. */
  const [asked, setAsked] = useState<readonly string[] | null>(null);
  const [said, setSaid] = useState("");
  const list = useRef<HTMLUListElement>(null);
  const focused = useRef<string | null>(null);

  const rank = (item: QueueItem): number => asked?.indexOf(item.uid) ?? 0;
  const shown = asked === null ? items : [...items].sort((a, b) => rank(a) - rank(b));
  const order = shown.map((item) => item.uid).join(" ");

  const known = items.map((item) => item.uid).join(" ");
  useEffect(() => setAsked(null), [known]);
  useEffect(() => {
    // A row that was moved in the document has lost the focus.
    if (focused.current === null) return;
    list.current?.querySelector<HTMLElement>(`[data-uid="${focused.current}"] .grip`)?.focus({ preventScroll: true });
    focused.current = null;
  }, [order]);

  async function move(from: number, to: number): Promise<void> {
    const item = shown[from];
    if (item === undefined || from === to || to < 0 || to >= shown.length) return;
    const uids = moved(shown, from, to).map((one) => one.uid);
    const after = uids[to - 1];
    setAsked(uids);
    setSaid(`${library.track(item.uri)?.name ?? "The track"} is now ${to + 1} of ${shown.length}.`);
    const reply = await run({ endpoint: "move_in_queue", uids: [item.uid], ...(after !== undefined && { after_uid: after }) });
    if (reply === null) setAsked(null);
  }

  function grab(event: PointerEvent, from: number): void {
    const handle = event.currentTarget as HTMLElement;
    const row = handle.closest("li");
    if (event.button !== 0 || row === null) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    const scroller = row.closest<HTMLElement>(".panel-body");
    const height = row.getBoundingClientRect().height;
    const startY = event.clientY + (scroller?.scrollTop ?? 0);
    let now: Drag = { from, to: from, dy: 0, height };
    setDrag(now);
    const follow = (at: PointerEvent): void => {
      if (scroller !== null) {
        const box = scroller.getBoundingClientRect();
        if (at.clientY < box.top + EDGE_PX) scroller.scrollTop -= SCROLL_PX;
        else if (at.clientY > box.bottom - EDGE_PX) scroller.scrollTop += SCROLL_PX;
      }
      const dy = at.clientY + (scroller?.scrollTop ?? 0) - startY;
      now = { ...now, dy, to: landing(from, dy, height, shown.length) };
      setDrag(now);
    };
    const end = (drop: boolean): void => {
      handle.removeEventListener("pointermove", follow);
      handle.removeEventListener("pointerup", onUp);
      handle.removeEventListener("pointercancel", onCancel);
      removeEventListener("keydown", onKey, true);
      setDrag(null);
      if (drop) void move(now.from, now.to);
    };
    const onUp = (): void => end(true);
    const onCancel = (): void => end(false);
    const onKey = (key: KeyboardEvent): void => {
      if (key.key !== "Escape") return;
      key.preventDefault();
      key.stopPropagation();
      end(false);
    };
    handle.addEventListener("pointermove", follow);
    handle.addEventListener("pointerup", onUp);
    handle.addEventListener("pointercancel", onCancel);
    addEventListener("keydown", onKey, true);
  }

  function onKey(event: KeyboardEvent, index: number, uid: string): void {
    const onGrip = (event.target as HTMLElement).classList.contains("grip");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      if (!event.altKey && !onGrip) return;
      event.preventDefault();
      focused.current = uid;
      void move(index, index + (event.key === "ArrowUp" ? -1 : 1));
    } else if (event.key === "Delete") {
      event.preventDefault();
      void run({ endpoint: "remove_from_queue", uids: [uid] });
    }
  }

  return (
    <>
      <ul class={`items ${drag === null ? "" : "dragging"}`} ref={list}>
        {shown.map((item, index) => {
          const isDragged = drag?.from === index;
          const dy = drag === null ? 0 : isDragged ? drag.dy : roomFor(index, drag.from, drag.to) * drag.height;
          return (
            <Item
              key={item.uid}
              item={item}
              isDragged={isDragged}
              style={dy === 0 && !isDragged ? {} : { transform: `translateY(${dy}px)` }}
              onGrab={(event) => grab(event, index)}
              onKey={(event) => onKey(event, index, item.uid)}
              moves={[
                { label: "Move up", icon: "up", disabled: index === 0, run: () => void move(index, index - 1) },
                { label: "Move down", icon: "down", disabled: index === shown.length - 1, run: () => void move(index, index + 1) },
              ]}
            />
          );
        })}
      </ul>
      <p class="unseen" role="status">
        {said}
      </p>
    </>
  );
}

interface ItemProps {
  item: QueueItem;
  isCurrent?: boolean;
  isDragged?: boolean;
  style?: Record<string, string>;
  moves?: readonly MenuEntry[];
  onGrab?: (event: PointerEvent) => void;
  onKey?: (event: KeyboardEvent) => void;
}

function Item({ item, isCurrent = false, isDragged = false, style = {}, moves = [], onGrab, onKey }: ItemProps) {
  const { library, run, enqueue } = usePage();
  const track = library.track(item.uri);
  const name = track?.name ?? "…";
  const removable = !isCurrent && item.provider !== "context";
  const album = albumOf(track);
  return (
    <li
      class={`item ${isCurrent ? "current" : ""} ${isDragged ? "dragged" : ""}`}
      style={style}
      data-uid={item.uid}
      {...(onKey && { onKeyDown: onKey })}
    >
      {onGrab !== undefined && (
        <button
          type="button"
          class="grip"
          aria-label={`Move ${name}`}
          title="Drag, or press the arrow keys"
          onPointerDown={onGrab}
        >
          <Icon name="grip" size={16} />
        </button>
      )}
      <button
        type="button"
        class="item-main"
        disabled={isCurrent}
        onClick={() => void run({ endpoint: "play_item", uid: item.uid })}
      >
        {!isCurrent && <span class="unseen">Play now: </span>}
        <Cover images={track?.album?.images ?? track?.images} pixels={40} />
        <span class="row-text">
          <span class="row-title">{name}</span>
          <span class="quiet">{item.reason?.text ?? artistNames(track?.artists)}</span>
        </span>
        <span class="quiet time">{clockText(item.duration_ms)}</span>
      </button>
      {!isCurrent && (
        <Menu
          label={`More for ${name}`}
          size={18}
          class="round tiny"
          entries={[
            { label: "Play next", icon: "playNext", run: () => void enqueue(item.uri, name, true) },
            ...(item.provider === "queue" ? [] : [{ label: "Add to the queue", icon: "add" as const, run: () => void enqueue(item.uri, name) }]),
            ...moves,
            ...(album === null ? [] : [{ label: "Go to the album", icon: "note" as const, href: albumHref(album.id) }]),
          ]}
        />
      )}
      {removable && (
        <button
          type="button"
          class="round tiny"
          aria-label={`Remove ${name} from the queue`}
          title="Remove"
          onClick={() => void run({ endpoint: "remove_from_queue", uids: [item.uid] })}
        >
          <Icon name="close" size={16} />
        </button>
      )}
    </li>
  );
}
