// Saves what was found: mask, overlay, numbers, paths.

import { useState } from "preact/hooks";
import { Choice } from "./choice.js";
import type { Format, Side } from "./paint.js";
import type { Session, State } from "./session.js";

const FORMATS: readonly (readonly [Format, string, string])[] = [
  ["mask", "Mask PNG", "Indexed colours, a value for each word"],
  ["overlay", "Overlay PNG", "The mask over the picture, as strong as you see it"],
  ["svg", "SVG", "A path for each word"],
  ["json", "JSON", "Areas, scores and masks as numbers"],
];

const SIDES: readonly (readonly [Side, string])[] = [
  ["a", "A"],
  ["b", "B"],
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
          <Choice
            legend="Which words"
            name="export-side"
            choices={SIDES}
            value={side}
            choose={(one) => setSide(one)}
          />
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
