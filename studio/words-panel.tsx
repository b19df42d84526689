// The words, and what became of each: a chip in the colour of its mask with area and score.

import { CROSS, Glyph } from "./glyph.js";
import { css, type Side, wordColours } from "./paint.js";
import type { Mask, Session, State } from "./session.js";
import { labelsOf, withoutLabel } from "./settings.js";

export function WordsPanel({ session, state }: { session: Session; state: State }) {
  const { settings, masks } = state;
  return (
    <section class="panel" aria-labelledby="words-title">
      <div class="head">
        <h2 id="words-title">Words</h2>
        <label class="switch">
          <input
            type="checkbox"
            checked={settings.compare}
            onChange={(event) => session.change({ compare: event.currentTarget.checked })}
          />
          Compare two
        </label>
      </div>
      <WordsField
        session={session}
        side="a"
        text={settings.words}
        mask={masks.a}
        named={settings.compare}
      />
      {settings.compare && (
        <WordsField session={session} side="b" text={settings.other} mask={masks.b} named />
      )}
    </section>
  );
}

interface FieldProps {
  session: Session;
  side: Side;
  text: string;
  mask: Mask | undefined;
  named: boolean;
}

function WordsField({ session, side, text, mask, named }: FieldProps) {
  const change = (value: string) =>
    session.change(side === "a" ? { words: value } : { other: value });
  const name = named ? `Words ${side.toUpperCase()}` : "Words";
  const labels = labelsOf(text);
  return (
    <div class="words">
      <label class={named ? "side" : "visually-hidden"} for={`words-${side}`}>
        {named ? side.toUpperCase() : name}
      </label>
      <textarea
        id={`words-${side}`}
        rows={2}
        value={text}
        aria-label={name}
        placeholder="dog, tree, sky"
        spellcheck={false}
        autocapitalize="off"
        autocomplete="off"
        onInput={(event) => change(event.currentTarget.value)}
      />
      {labels.length === 0 ? (
        <p class="hint">
          Type what may be in the picture, with commas between. Synonyms:{" "}
          <code>sofa, couch; dog</code>
        </p>
      ) : (
        mask && (
          <Chips
            session={session}
            side={side}
            mask={mask}
            remove={(label) => change(withoutLabel(text, label))}
          />
        )
      )}
    </div>
  );
}

function Chips({
  session,
  side,
  mask,
  remove,
}: Pick<FieldProps, "session" | "side"> & { mask: Mask; remove(label: string): void }) {
  const first = mask.background ? 1 : 0;
  const colours = wordColours(mask.labels.length, mask.background);
  const pixels = session.state.picture
    ? session.state.picture.width * session.state.picture.height
    : 1;
  return (
    <ul class="chips" aria-label={`Result${side === "b" ? " B" : ""}`}>
      {mask.labels.map((label, i) => {
        const share = mask.areas[i]! / pixels;
        return (
          <li key={label} class={share === 0 ? "absent" : ""}>
            <button
              type="button"
              class="chip"
              title={share > 0 ? `Show where "${label}" is` : `"${label}" wins nowhere`}
              aria-disabled={share === 0}
              onClick={() => share > 0 && session.chooseLabel(side, i)}
            >
              <i style={{ background: css(colours, i + first) }} />
              <span class="name">{label}</span>
              <span class="share">{percent(share)}</span>
              <span class="score" title="Mean score of its pixels">
                {share > 0 ? mask.scores[i]!.toFixed(2) : "–"}
              </span>
            </button>
            <button
              type="button"
              class="icon small"
              aria-label={`Remove ${label}`}
              onClick={() => remove(label)}
            >
              <Glyph path={CROSS} />
            </button>
          </li>
        );
      })}
    </ul>
  );
}

export function percent(share: number): string {
  if (share === 0) return "0 %";
  return share < 0.01 ? "<1 %" : `${Math.round(share * 100)} %`;
}
