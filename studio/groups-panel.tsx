// How the model grouped the picture before it saw a word: first groups merge into last ones.

import { css, groupColours } from "./paint.js";
import type { Session, State } from "./session.js";
import { percent } from "./words-panel.js";

export function GroupsPanel({ session, state }: { session: Session; state: State }) {
  const { groups, pointed, settings, explanations } = state;
  if (!groups) return null;
  const { first, last } = groups;
  const firstColours = groupColours(first.nodes, last.nodes.length);
  const lastColours = groupColours(last.nodes, last.nodes.length);
  const one = pointed?.layer === "first" ? first.nodes[pointed.place] : undefined;
  const segments = last.nodes.filter(
    ({ group, area }) =>
      area > 0 || first.nodes.some((node) => node.area > 0 && node.segment === group),
  );
  const word = (segment: number) => {
    const why = explanations.a;
    const region = why?.regions.find(
      ({ segments: own }) => own.length === 1 && own[0]!.segment === segment,
    );
    return region && region.winner >= 0 ? why?.labels[region.winner] : undefined;
  };
  const stagesDiffer = first.nodes !== last.nodes && first.nodes.length !== last.nodes.length;
  return (
    <section class="panel" aria-labelledby="groups-title">
      <div class="head">
        <h2 id="groups-title">Groups</h2>
      </div>
      <p class="hint" aria-live="polite">
        {one
          ? `Group ${one.group + 1}, ${percent(one.area)} of the picture: ${percent(one.weight)} of it goes to segment ${one.segment + 1}${word(one.segment) ? `, "${word(one.segment)}"` : ""}.`
          : pointed?.layer === "last"
            ? `Segment ${pointed.place + 1}${word(pointed.place) ? `: "${word(pointed.place)}"` : ""}, made of ${first.nodes.filter((node) => node.area > 0 && node.segment === pointed.place).length} first groups.`
            : "Made before the model saw a word. First groups on the left merge into last ones on the right."}
      </p>
      <ul class="merges">
        {segments.map((segment) => (
          <li key={segment.group}>
            {stagesDiffer && (
              <>
                <ul class="from" aria-label={`First groups in segment ${segment.group + 1}`}>
                  {first.nodes
                    .filter((node) => node.area > 0 && node.segment === segment.group)
                    .map((node) => (
                      <li key={node.group}>
                        <button
                          type="button"
                          aria-label={`Group ${node.group + 1}, ${percent(node.area)}`}
                          aria-pressed={pointed?.layer === "first" && pointed.place === node.group}
                          style={{
                            background: css(firstColours, node.group),
                            width: `${1.4 + Math.sqrt(node.area) * 3}rem`,
                          }}
                          onClick={() => {
                            if (settings.view !== "first") session.change({ view: "first" });
                            void session.choose("first", node.group);
                          }}
                        />
                      </li>
                    ))}
                </ul>
                <svg viewBox="0 0 24 12" width="24" height="12" aria-hidden="true">
                  <path
                    d="M0 6h20m-5-5 5 5-5 5"
                    fill="none"
                    stroke="currentColor"
                    stroke-width="1.5"
                  />
                </svg>
              </>
            )}
            <button
              type="button"
              class="to"
              aria-pressed={pointed?.layer === "last" && pointed.place === segment.group}
              onClick={() => {
                if (settings.view !== "last") session.change({ view: "last" });
                void session.choose("last", segment.group);
              }}
            >
              <i style={{ background: css(lastColours, segment.group) }} />
              {word(segment.group) ?? `Segment ${segment.group + 1}`}{" "}
              <span class="amount">{percent(segment.area)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
