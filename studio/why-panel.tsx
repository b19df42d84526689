// Why a region carries its label: nearest words with scores, the top-k filter, margins.

import type { ExplainedRegion, Explanation } from "groupvit/browser";
import { css, type Side, wordColours } from "./paint.js";
import type { Session, State } from "./session.js";
import { percent } from "./words-panel.js";

/** Words that are listed: the nearest. */
const MOST = 8;

export function WhyPanel({ session, state }: { session: Session; state: State }) {
  const { pointed, explanations, pinned } = state;
  const side: Side = pointed?.layer === "b" ? "b" : "a";
  const explanation = explanations[side];
  const region = pointed && explanation?.regions[pointed.place];
  return (
    <section class="panel why" aria-labelledby="why-title">
      <div class="head">
        <h2 id="why-title">
          Why{state.settings.compare && explanation ? ` (${side.toUpperCase()})` : ""}
        </h2>
        {pinned && (
          <button type="button" class="quiet" onClick={() => session.unpin()}>
            Let go
          </button>
        )}
      </div>
      <div id="why-text" aria-live="polite">
        {explanation && region && pointed ? (
          <Reason
            explanation={explanation}
            region={region}
            place={pointed.place}
            topK={state.settings.topK}
            state={state}
            side={side}
          />
        ) : (
          <p class="hint">
            {explanation
              ? "Point at the picture, or tap it, to see why a place carries its word."
              : "Type a word first; then point at the picture to see why it is there."}
          </p>
        )}
      </div>
      {explanation && (
        <Regions
          session={session}
          explanation={explanation}
          side={side}
          place={region && pointed?.place}
        />
      )}
    </section>
  );
}

interface ReasonProps {
  explanation: Explanation;
  region: ExplainedRegion;
  place: number;
  topK: number;
  state: State;
  side: Side;
}

function Reason({ explanation, region, place, topK, state, side }: ReasonProps) {
  const { labels, firstBackground } = explanation;
  const row = place * labels.length;
  const nearest = [...labels.keys()].sort(
    (a, b) =>
      explanation.scores[row + b]! - explanation.scores[row + a]! ||
      explanation.similarities[row + b]! - explanation.similarities[row + a]!,
  );
  const mask = state.masks[side];
  const colours = mask && wordColours(mask.labels.length, mask.background);
  const colour = (label: number) =>
    colours && label < firstBackground
      ? css(colours, label + (mask.background ? 1 : 0))
      : undefined;
  const size = explanation.width * explanation.height;
  return (
    <>
      <p class="verdict">{verdict(explanation, region)}</p>
      <p class="detail">
        {region.segments.length === 1
          ? `Segment ${region.segments[0]!.segment + 1}`
          : `Where ${region.segments.length} windows meet`}
        , {percent(region.pixels / size)} of the picture
      </p>
      <table class="scores">
        <caption class="visually-hidden">The nearest words with their scores</caption>
        <thead>
          <tr>
            <th scope="col">Nearest words</th>
            <td />
            <th scope="col" title="What competes, and what the threshold looks at">
              Score
            </th>
            <th scope="col" title="Cosine similarity of segment and word">
              Cosine
            </th>
          </tr>
        </thead>
        <tbody>
          {nearest.slice(0, MOST).map((label) => {
            const kept = explanation.kept[row + label] === 1;
            const score = explanation.scores[row + label]!;
            return (
              <tr key={label} class={kept ? (label === region.winner ? "winner" : "") : "left-out"}>
                <th scope="row">{labels[label]}</th>
                <td>
                  <span class="track">
                    <span
                      class="fill"
                      style={{
                        width: `${score * 100}%`,
                        background: colour(label) ?? "var(--muted)",
                      }}
                    />
                    {region.threshold !== undefined && kept && (
                      <span class="tick" style={{ left: `${region.threshold * 100}%` }} />
                    )}
                  </span>
                </td>
                <td class="number">
                  {kept ? score.toFixed(2) : <span class="tag">left out</span>}
                </td>
                <td class="number soft" title="Cosine similarity of segment and word">
                  {explanation.similarities[row + label]!.toFixed(2)}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {labels.length > topK && (
        <p class="detail">
          Only the {topK} words nearest to the whole picture may win; {labels.length - topK}{" "}
          {labels.length - topK === 1 ? "is" : "are"} left out.
        </p>
      )}
    </>
  );
}

/** One sentence: who wins, by how much, and whether the threshold lets it. */
function verdict({ labels, firstBackground }: Explanation, region: ExplainedRegion) {
  const best = <strong>{labels[region.best]}</strong>;
  const lead =
    region.second < 0 ? null : (
      <>
        , {region.margin.toFixed(2)} ahead of {labels[region.second]}
      </>
    );
  if (region.winner < 0) {
    return (
      <>
        Background: the nearest word, {best}, misses the threshold by{" "}
        {Math.abs(region.thresholdMargin ?? 0).toFixed(2)}.
      </>
    );
  }
  return (
    <>
      {best}
      {lead}
      {region.winner >= firstBackground && "; it stands for background"}
      {region.thresholdMargin !== undefined &&
        `, ${region.thresholdMargin.toFixed(2)} above the threshold`}
      .
    </>
  );
}

/** Every region as a button: the way for keyboards and screen readers. */
function Regions({
  session,
  explanation,
  side,
  place,
}: {
  session: Session;
  explanation: Explanation;
  side: Side;
  place: number | undefined;
}) {
  const order = [...explanation.regions.keys()]
    .sort((a, b) => explanation.regions[b]!.pixels - explanation.regions[a]!.pixels)
    .slice(0, 24);
  const name = (region: ExplainedRegion) =>
    region.winner < 0 ? "background" : explanation.labels[region.winner];
  return (
    <ul class="regions" aria-label="Segments">
      {order.map((i) => {
        const region = explanation.regions[i]!;
        return (
          <li key={i}>
            <button
              type="button"
              aria-pressed={i === place}
              onClick={() => session.choose(side, i)}
            >
              {name(region)}{" "}
              <span class="amount">
                {percent(region.pixels / (explanation.width * explanation.height))}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
