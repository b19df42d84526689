// The line at the bottom: what computes and why, how long things took, model and sizes.

import type { State } from "./session.js";

export function StatusLine({ state }: { state: State }) {
  const { model, picture, encodeMs, relabelMs, encoding, labelling, live } = state;
  const parts = [
    model &&
      `${model.name}, ${model.dtype}${model.bytes > 0 ? `, ${(model.bytes / 1e6).toFixed(1)} MB` : ""}`,
    picture && `${picture.width} × ${picture.height}`,
    encoding
      ? "encoding the picture …"
      : encodeMs !== undefined && `encoded in ${Math.round(encodeMs)} ms`,
    labelling
      ? "reading the words …"
      : relabelMs !== undefined && relabelMs > 0 && `labelled in ${Math.round(relabelMs)} ms`,
    live && encodeMs !== undefined && `${(1000 / encodeMs).toFixed(1)} pictures a second`,
  ].filter(Boolean);
  return (
    <footer>
      {model && <span class="device">{model.deviceReason.replace(/\.$/, "")}</span>}
      {parts.map((part) => (
        <span key={part}>{part}</span>
      ))}
      <span class="private">Nothing leaves this browser.</span>
      <span role="status" class="visually-hidden">
        {encoding ? "Encoding the picture" : announcement(state)}
      </span>
    </footer>
  );
}

/** The result in a sentence, for screen readers. */
function announcement({ masks, picture }: State): string {
  const mask = masks.a;
  if (!mask || !picture) return "";
  const pixels = picture.width * picture.height;
  const found = [...mask.labels.keys()]
    .filter((i) => mask.areas[i]! > 0)
    .sort((a, b) => mask.areas[b]! - mask.areas[a]!)
    .slice(0, 5)
    .map((i) => `${mask.labels[i]} ${Math.round((100 * mask.areas[i]!) / pixels)} percent`);
  return found.length > 0 ? found.join(", ") : "Nothing but background";
}
