// A slider that follows its value, but not while it is being held.

import { useState } from "preact/hooks";

interface Props {
  label: string;
  value: number;
  max: number;
  step: number;
  disabled?: boolean;
  text: (value: number) => string;
  /** While it moves. */
  onMove?: (value: number) => void;
  /** When it is let go. */
  onCommit: (value: number) => void;
  class?: string;
}

export function Slider(props: Props) {
  const [held, setHeld] = useState<number | null>(null);
  const value = Math.min(props.max, held ?? props.value);
  const share = props.max > 0 ? (value / props.max) * 100 : 0;
  return (
    <input
      type="range"
      class={`slider ${props.class ?? ""}`}
      aria-label={props.label}
      aria-valuetext={props.text(value)}
      min={0}
      max={props.max}
      step={props.step}
      value={value}
      disabled={props.disabled ?? false}
      style={{ "--share": `${share}%` }}
      onInput={(event) => {
        const next = Number(event.currentTarget.value);
        setHeld(next);
        props.onMove?.(next);
      }}
      onChange={(event) => {
        props.onCommit(Number(event.currentTarget.value));
        setHeld(null);
      }}
    />
  );
}
