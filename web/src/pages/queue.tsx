// What comes next, lane by lane, and what one may do with it.

import { artistNames, clockText } from "../library/library";
import { player } from "../session/store";
import type { QueueItem } from "../wire/frames";
import { usePage } from "./context";
import { Cover } from "./cover";
import { Icon } from "./icons";
import { Panel } from "./panels";

const LANES: readonly { provider: string; title: string }[] = [
  { provider: "queue", title: "Your queue" },
  { provider: "context", title: "Next" },
  { provider: "autoplay", title: "After that, in the same vein" },
];

export function Queue() {
  const { run } = usePage();
  const state = player.value;
  const next = state?.next_tracks ?? [];
  const hasOwn = next.some((item) => item.provider === "queue");
  const version = state?.queue_version;

  return (
    <Panel name="queue" title="Queue">
      <div class="panel-actions" role="group" aria-label="Queue">
        <button type="button" disabled={!(state?.can_undo ?? false)} onClick={() => void run({ endpoint: "undo" })}>
          <Icon name="undo" size={16} /> Undo
        </button>
        <button type="button" disabled={!hasOwn} onClick={() => void run({ endpoint: "clear_queue" }, version)}>
          Clear queue
        </button>
        {state?.can_restore_queue && (
          <button type="button" onClick={() => void run({ endpoint: "restore_queue" })}>
            Bring back what played before
          </button>
        )}
      </div>
      {state?.track && (
        <section aria-label="Now playing">
          <h3>Now playing</h3>
          <ul class="items">
            <Item item={state.track} isCurrent />
          </ul>
        </section>
      )}
      {LANES.map(({ provider, title }) => {
        const items = next.filter((item) => item.provider === provider);
        if (items.length === 0) return null;
        return (
          <section key={provider} aria-label={title}>
            <h3>{title}</h3>
            <ul class="items">
              {items.map((item) => (
                <Item key={item.uid} item={item} />
              ))}
            </ul>
          </section>
        );
      })}
      {next.length === 0 && <p class="quiet">Nothing comes after this. Add tracks with the plus beside them.</p>}
    </Panel>
  );
}

function Item({ item, isCurrent = false }: { item: QueueItem; isCurrent?: boolean }) {
  const { library, run } = usePage();
  const track = library.track(item.uri);
  const name = track?.name ?? "…";
  const removable = !isCurrent && item.provider !== "context";
  return (
    <li class={`item ${isCurrent ? "current" : ""}`}>
      <button
        type="button"
        class="item-main"
        aria-label={isCurrent ? name : `Play ${name} now`}
        disabled={isCurrent}
        onClick={() => void run({ endpoint: "play_item", uid: item.uid })}
      >
        <Cover images={track?.album?.images} pixels={40} />
        <span class="row-text">
          <span class="row-title">{name}</span>
          <span class="quiet">{item.reason?.text ?? artistNames(track?.artists)}</span>
        </span>
        <span class="quiet time">{clockText(item.duration_ms)}</span>
      </button>
      {removable && (
        <button
          type="button"
          class="round minor"
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
