// The page: picture on the left, panels on the right, what happened below.

import { useEffect, useRef, useState } from "preact/hooks";
import { Choice } from "./choice.js";
import { ExportPanel } from "./export-panel.js";
import { takeFiles } from "./files.js";
import { CROSS, Glyph } from "./glyph.js";
import { GroupsPanel } from "./groups-panel.js";
import { ModelDialog } from "./model-dialog.js";
import { OptionsPanel } from "./options-panel.js";
import { SAMPLES, sampleAddress } from "./samples.js";
import type { Session } from "./session.js";
import type { View } from "./settings.js";
import { Stage } from "./stage.js";
import { StatusLine } from "./status.js";
import { WhyPanel } from "./why-panel.js";
import { WordsPanel } from "./words-panel.js";

const VIEWS: readonly (readonly [View, string])[] = [
  ["words", "Words"],
  ["last", "Last groups"],
  ["first", "First groups"],
];

export function App({ session }: { session: Session }) {
  const [state, setState] = useState(session.state);
  useEffect(() => session.subscribe(() => setState(session.state)), [session]);
  const [choosing, setChoosing] = useState(false);
  const [dragging, setDragging] = useState(false);
  const [copied, setCopied] = useState("");
  const video = useRef<HTMLVideoElement>(null);
  usePageEvents(session, setDragging);
  const { settings, error, loading, picture } = state;

  return (
    <div class="app">
      <header>
        <h1>
          <img src="./icon.svg" alt="" width="24" height="24" /> GroupViT <span>studio</span>
        </h1>
        <p class="claim">Name what is in a picture, and see where it is.</p>
        <div class="tools">
          <button
            type="button"
            class="icon"
            disabled={!state.canUndo}
            onClick={() => session.undo()}
            title="Undo (Ctrl+Z)"
            aria-label="Undo"
          >
            <Glyph path="M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6v1" />
          </button>
          <button
            type="button"
            class="icon"
            disabled={!state.canRedo}
            onClick={() => session.redo()}
            title="Redo (Ctrl+Shift+Z)"
            aria-label="Redo"
          >
            <Glyph path="m15 7 5 5-5 5m5-5H10a6 6 0 0 0-6 6v1" />
          </button>
          <button
            type="button"
            onClick={async () => {
              setCopied(await copy(session.link));
              setTimeout(() => setCopied(""), 2000);
            }}
            title="The link holds words and options, never the picture"
            aria-label={copied || "Copy link"}
          >
            <Glyph path="M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1" />
            <span class="wide-only">{copied || "Copy link"}</span>
          </button>
          <button type="button" onClick={() => setChoosing(true)} aria-haspopup="dialog">
            Model…
          </button>
        </div>
      </header>

      {error && (
        <div class="error" role="alert">
          <div>
            <strong>{error.title}.</strong> {error.advice}
            <details>
              <summary>Details</summary>
              {error.detail}
            </details>
          </div>
          <button type="button" class="icon" aria-label="Dismiss" onClick={() => session.dismiss()}>
            <Glyph path={CROSS} />
          </button>
        </div>
      )}

      <main>
        <section class="stage" aria-label="Picture">
          <div class="bar">
            <Choice
              legend="What the mask shows"
              name="view"
              choices={VIEWS}
              value={settings.view}
              choose={(view) => session.change({ view })}
              disabled={(view) => view !== "words" && settings.mode === "slide"}
            />
            <label class="opacity">
              <span>Mask</span>
              <input
                type="range"
                min="0"
                max="1"
                step="0.05"
                value={settings.opacity}
                aria-label="Opacity of the mask"
                onInput={(event) => session.change({ opacity: Number(event.currentTarget.value) })}
              />
            </label>
          </div>
          <Stage session={session} state={state} />
          {loading && (
            <div class="loading">
              <label for="bytes">
                {loading.total > 0
                  ? `Loading the model: ${megabytes(loading.loaded)} of ${megabytes(loading.total)} MB`
                  : "Loading the model"}
              </label>
              <progress
                id="bytes"
                {...(loading.total > 0 ? { value: loading.loaded, max: loading.total } : {})}
              />
              <button type="button" onClick={() => session.abort()}>
                Stop
              </button>
            </div>
          )}
          <div class="sources">
            <ul class="samples" aria-label="Sample pictures">
              {SAMPLES.map((sample) => (
                <li key={sample.name}>
                  <button
                    type="button"
                    aria-pressed={picture?.name === sample.name}
                    aria-label={sample.title}
                    title={sample.title}
                    onClick={() => session.openSample(sample)}
                  >
                    <img src={sampleAddress(sample)} alt="" />
                  </button>
                </li>
              ))}
            </ul>
            <div class="tools">
              <label class="button">
                Open picture…
                <input
                  type="file"
                  accept="image/*"
                  class="visually-hidden"
                  onChange={(event) => {
                    takeFiles(session, [...(event.currentTarget.files ?? [])]);
                    event.currentTarget.value = "";
                  }}
                />
              </label>
              {state.live ? (
                <>
                  <button
                    type="button"
                    class="primary"
                    onClick={() => session.takePhoto(video.current!)}
                  >
                    Take photo
                  </button>
                  <button type="button" onClick={() => session.endLive()}>
                    Stop camera
                  </button>
                </>
              ) : (
                <button type="button" onClick={() => session.startLive(video.current!)}>
                  Camera
                </button>
              )}
              <span class="hint wide-only">or drop or paste one</span>
            </div>
            <video ref={video} muted playsInline class="camera" aria-hidden="true" tabIndex={-1} />
          </div>
        </section>

        <aside class="panels" aria-label="Words and explanations">
          <WordsPanel session={session} state={state} />
          {settings.view === "words" ? (
            <WhyPanel session={session} state={state} />
          ) : (
            <GroupsPanel session={session} state={state} />
          )}
          <OptionsPanel session={session} state={state} />
          <ExportPanel session={session} state={state} />
        </aside>
      </main>

      <StatusLine state={state} />
      <ModelDialog
        session={session}
        state={state}
        open={choosing}
        close={() => setChoosing(false)}
      />
      {dragging && (
        <div class="drop" aria-hidden="true">
          <p>Drop a picture, or the files of a model</p>
        </div>
      )}
    </div>
  );
}

/** Dropping, pasting, undo and redo work wherever the focus is. */
function usePageEvents(session: Session, setDragging: (dragging: boolean) => void): void {
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    let depth = 0;
    const drag = (change: number) => {
      depth = Math.max(0, depth + change);
      setDragging(depth > 0);
    };
    // Text that is dragged into a field is the field's.
    const brings = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    window.addEventListener("dragenter", (event) => brings(event) && drag(1), { signal });
    window.addEventListener("dragleave", (event) => brings(event) && drag(-1), { signal });
    window.addEventListener("dragover", (event) => brings(event) && event.preventDefault(), {
      signal,
    });
    window.addEventListener("hashchange", () => session.followLink(location.hash), { signal });
    window.addEventListener(
      "drop",
      (event) => {
        if (!brings(event)) return;
        event.preventDefault();
        depth = 0;
        setDragging(false);
        if (event.dataTransfer) takeFiles(session, event.dataTransfer);
      },
      { signal },
    );
    window.addEventListener(
      "paste",
      (event) => {
        const files = [...(event.clipboardData?.files ?? [])];
        if (files.length > 0) {
          event.preventDefault();
          takeFiles(session, files);
        }
      },
      { signal },
    );
    window.addEventListener(
      "keydown",
      (event) => {
        if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
        // The field of a dialog has an undo of its own.
        if (event.target instanceof Element && event.target.closest("dialog")) return;
        const key = event.key.toLowerCase();
        if (key === "z" && !event.shiftKey) session.undo();
        else if (key === "y" || key === "z") session.redo();
        else return;
        event.preventDefault();
      },
      { signal },
    );
    return () => stop.abort();
  }, [session, setDragging]);
}

/** Copies a text, and says how that went. */
async function copy(text: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch {
    return "Not allowed: copy the address above"; // by the browser, or without HTTPS
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
