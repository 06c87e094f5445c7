// What sounds here now, as bars: low notes left, high ones right. Only a picture; it says nothing that is not heard.

import { useEffect, useRef } from "preact/hooks";
import { usePage } from "./context";

const BANDS = 40;
const GAP = 0.35;
/** Each look a bar falls by at most this share: rises are seen at once, falls calmly. */
const FALL = 0.06;

export function Meter() {
  const { app } = usePage();
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const at = canvas.current;
    const draw = at?.getContext("2d");
    if (!at || !draw || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const shown = new Array<number>(BANDS).fill(0);
    let frame = 0;
    const look = (): void => {
      frame = requestAnimationFrame(look);
      const width = Math.round(at.clientWidth * devicePixelRatio);
      const height = Math.round(at.clientHeight * devicePixelRatio);
      if (at.width !== width || at.height !== height) [at.width, at.height] = [width, height];
      draw.clearRect(0, 0, width, height);
      draw.fillStyle = getComputedStyle(at).color;
      const step = width / BANDS;
      app.graph.bands(BANDS).forEach((value, band) => {
        const level = Math.max(value, (shown[band] ?? 0) - FALL, 0.02);
        shown[band] = level;
        const tall = Math.max(2 * devicePixelRatio, level * height);
        draw.beginPath();
        draw.roundRect(band * step + (step * GAP) / 2, height - tall, step * (1 - GAP), tall, step * 0.2);
        draw.fill();
      });
    };
    look();
    return () => cancelAnimationFrame(frame);
  }, []);
  return <canvas ref={canvas} class="meter" aria-hidden="true" />;
}
