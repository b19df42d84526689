// Saves what was found: mask, overlay, numbers, paths.

import { useState } from "preact/hooks";
import type { Format, Side } from "./paint.js";
import type { Session, State } from "./session.js";

const FORMATS: readonly (readonly [Format, string, string])[] = [
  ["mask", "Mask PNG", "Indexed colours, a value for each word"],
  ["overlay", "Overlay PNG", "The mask over the picture, as strong as you see it"],
  ["svg", "SVG", "A path for each word"],
  ["json", "JSON", "Areas, scores and masks as numbers"],
];

export function ExportPanel({ session, state }: { session: Session; state: State }) {
  const [chosen, setSide] = useState<Side>("a");
  const side = state.settings.compare ? chosen : "a";
  const download = async (format: Format) => {
    const saved = await session.save(side, format);
    if (!saved) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(saved.blob);
    link.download = saved.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  return (
    <section class="panel" aria-labelledby="export-title">
      <div class="head">
        <h2 id="export-title">Export</h2>
        {state.settings.compare && (
          <fieldset class="choice">
            <legend class="visually-hidden">Which words</legend>
            {(["a", "b"] as const).map((one) => (
              <label key={one}>
                <input
                  type="radio"
                  name="export-side"
                  checked={side === one}
                  onChange={() => setSide(one)}
                />
                <span>{one.toUpperCase()}</span>
              </label>
            ))}
          </fieldset>
        )}
      </div>
      <div class="formats">
        {FORMATS.map(([format, name, title]) => (
          <button
            key={format}
            type="button"
            title={title}
            disabled={!state.masks[side]}
            onClick={() => download(format)}
          >
            {name}
          </button>
        ))}
      </div>
    </section>
  );
}
