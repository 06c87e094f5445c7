// The few signs the page uses, drawn in the colour of the text around them.

const PATHS = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z",
  next: "M5.5 5.5v13l9.5-6.5zM16 5.5h2.5v13H16z",
  previous: "M18.5 5.5v13L9 12zM5.5 5.5H8v13H5.5z",
  shuffle: "M3 7h3.5c2.5 0 4 1.5 5.5 5s3 5 5.5 5H21M3 17h3.5c1.7 0 3-.7 4-2.2M13.5 9.2c1-1.5 2.3-2.2 4-2.2H21M18.5 4.5 21 7l-2.5 2.5M18.5 14.5 21 17l-2.5 2.5",
  repeat: "M17 3.5 20 6.5l-3 3M4 11.5v-1a4 4 0 0 1 4-4h12M7 20.5l-3-3 3-3M20 12.5v1a4 4 0 0 1-4 4H4",
  queue: "M4 6h16M4 11h16M4 16h9M16.5 14v6l4.5-3z",
  devices: "M4 5h11v8H4zM2.5 16.5h9M16 9h5v10.5h-5zM18.5 16.5v.1",
  volume: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
  mute: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  close: "M6 6l12 12M18 6 6 18",
  back: "M14.5 5.5 8 12l6.5 6.5",
  add: "M12 5.5v13M5.5 12h13",
  undo: "M8.5 5 4.5 9l4 4M4.5 9h9a5.5 5.5 0 0 1 0 11H9",
  speaker: "M7 3h10v18H7zM12 17.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 7v.1",
  screen: "M3.5 5h17v11h-17zM8.5 20h7M12 16v4",
  phone: "M8 3h8v18H8zM12 18v.1",
  edit: "M5 19l1-4L15.5 5.5l3 3L9 18zM13.5 7.5l3 3",
  here: "M12 20s6-5.5 6-10a6 6 0 0 0-12 0c0 4.5 6 10 6 10zM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  note: "M9 17.5V6l10-2v11.5M9 17.5a2.5 2.5 0 1 1-2.5-2.5A2.5 2.5 0 0 1 9 17.5zM19 15.5a2.5 2.5 0 1 1-2.5-2.5 2.5 2.5 0 0 1 2.5 2.5z",
  more: "M5.5 12h.1M12 12h.1M18.4 12h.1",
  grip: "M9 6.5h.1M9 12h.1M9 17.5h.1M15 6.5h.1M15 12h.1M15 17.5h.1",
  up: "M5.5 14.5 12 8l6.5 6.5",
  down: "M5.5 9.5 12 16l6.5-6.5",
  playNext: "M4 6h16M4 11h9M4 16h7M15.5 19.5v-6M12.5 16.5h6",
  heart: "M12 20s-7.5-4.6-7.5-10.2A4.3 4.3 0 0 1 12 7.2a4.3 4.3 0 0 1 7.5 2.6C19.5 15.4 12 20 12 20z",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 20 20",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM9 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.6-4 3.6-6 7.5-6s6.9 2 7.5 6",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  speed: "M4.5 17.5a8.5 8.5 0 1 1 15 0M12 13.5l3.5-4.5",
  check: "M5 12.5l4.5 4.5L19 7.5",
} as const;

const BOLD = new Set<IconName>(["more", "grip"]);
const FILLED = new Set<IconName>(["play", "pause", "next", "previous"]);

export type IconName = keyof typeof PATHS;

/** `solid`: filled with the colour too, for a heart that beats. */
export function Icon({ name, size = 20, solid = false }: { name: IconName; size?: number; solid?: boolean }) {
  const isFilled = FILLED.has(name);
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill={isFilled || solid ? "currentColor" : "none"}
      stroke={isFilled ? "none" : "currentColor"}
      stroke-width={BOLD.has(name) ? 3 : 1.8}
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
