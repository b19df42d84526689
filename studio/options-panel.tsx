// Background, threshold, top-k, prompts and detail.

import { Choice } from "./choice.js";
import type { Session, State } from "./session.js";
import { DEFAULTS, type Settings } from "./settings.js";

const BACKGROUNDS: readonly (readonly [Settings["background"], string])[] = [
  ["none", "None"],
  ["threshold", "Low scores"],
  ["words", "Other words"],
];

export function OptionsPanel({ session, state: { settings } }: { session: Session; state: State }) {
  return (
    <section class="panel" aria-labelledby="options-title">
      <div class="head">
        <h2 id="options-title">Background</h2>
      </div>
      <Choice
        legend="Which pixels become background"
        name="background"
        choices={BACKGROUNDS}
        value={settings.background}
        choose={(background) => session.change({ background })}
        wide
      />
      {settings.background === "threshold" && (
        <label class="slider">
          <span>Threshold</span>
          <input
            type="range"
            min="0"
            max="1"
            step="0.01"
            value={settings.threshold}
            onInput={(event) => session.change({ threshold: Number(event.currentTarget.value) })}
          />
          <output>{settings.threshold.toFixed(2)}</output>
        </label>
      )}
      {settings.background === "words" && (
        <label class="field">
          <span class="visually-hidden">Background words</span>
          <input
            type="text"
            value={settings.backgroundWords}
            placeholder="sky, ground, wall"
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => session.change({ backgroundWords: event.currentTarget.value })}
          />
        </label>
      )}
      <details>
        <summary>More options</summary>
        <label class="slider">
          <span>Words that may win</span>
          <input
            type="number"
            min="1"
            max="1000"
            value={settings.topK}
            onInput={(event) => {
              const topK = Math.floor(Number(event.currentTarget.value));
              session.change({ topK: topK >= 1 && topK <= 1000 ? topK : DEFAULTS.topK });
            }}
          />
        </label>
        <label class="slider">
          <span>Prompts per word</span>
          <select
            value={settings.prompts}
            onChange={(event) =>
              session.change({ prompts: event.currentTarget.value as Settings["prompts"] })
            }
          >
            <option value="simple">1, fast</option>
            <option value="subset">7</option>
            <option value="full">80, slow at first</option>
          </select>
        </label>
        <label class="slider">
          <span>Look at the picture</span>
          <select
            value={settings.mode}
            onChange={(event) =>
              session.change({
                mode: event.currentTarget.value as Settings["mode"],
                ...(event.currentTarget.value === "slide" ? { view: "words" } : {}),
              })
            }
          >
            <option value="whole">as a whole</option>
            <option value="slide">in windows, finer</option>
          </select>
        </label>
      </details>
    </section>
  );
}
