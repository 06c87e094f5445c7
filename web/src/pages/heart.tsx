// The heart: kept in this listener's library, or not.

import { toast } from "../session/store";
import { usePage } from "./context";
import { Icon } from "./icons";
import { errorText } from "./words";

interface Props {
  uri: string;
  name: string;
  size?: number;
}

export function Heart({ uri, name, size = 18 }: Props) {
  const { saved } = usePage();
  const isSaved = saved.has(uri);
  const toggle = (): void => void saved.set(uri, !isSaved).catch((error: unknown) => toast(errorText(error), true));
  return (
    <button
      type="button"
      class="round minor heart"
      aria-label={`${name} in your library`}
      aria-pressed={isSaved}
      title={isSaved ? "Remove from your library" : "Save to your library"}
      onClick={toggle}
    >
      <Icon name="heart" size={size} solid={isSaved} />
    </button>
  );
}
