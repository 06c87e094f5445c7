// A cover image, or a sign where there is none.

import { useState } from "preact/hooks";
import type { Image } from "../library/library";
import { coverUrl } from "../library/library";
import { Icon } from "./icons";

export function Cover({ images, pixels }: { images: readonly Image[] | undefined; pixels: number }) {
  const url = coverUrl(images, pixels * (devicePixelRatio || 1));
  const [broken, setBroken] = useState<string | null>(null);
  return (
    <span class="cover">
      {url === null || url === broken ? (
        <Icon name="note" size={Math.round(Math.min(64, pixels * 0.4))} />
      ) : (
        <img src={url} alt="" loading="lazy" decoding="async" onError={() => setBroken(url)} />
      )}
    </span>
  );
}
