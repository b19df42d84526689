// Which model: the bundled one, one from the Hub, or files of your own.

import { useEffect, useRef, useState } from "preact/hooks";
import { takeFiles } from "./files.js";
import { CROSS, Glyph } from "./glyph.js";
import type { Session, State } from "./session.js";

interface Props {
  session: Session;
  state: State;
  open: boolean;
  close(): void;
}

export function ModelDialog({ session, state, open, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [id, setId] = useState("");
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const pick = (files: FileList | null) => {
    if (files?.length) void takeFiles(session, [...files]);
    close();
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="model-title">
      <div class="head">
        <h2 id="model-title">Model</h2>
        <button type="button" class="icon" aria-label="Close" onClick={close}>
          <Glyph path={CROSS} />
        </button>
      </div>
      <p class="hint">Now: {state.model?.name ?? "none"}</p>
      <button
        type="button"
        class="row"
        onClick={() => {
          void session.loadModel();
          close();
        }}
      >
        <strong>Bundled</strong>
        <span class="hint">Small, fast everywhere, works without a network</span>
      </button>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (id.trim() === "") return;
          void session.loadModel(id.trim());
          close();
        }}
      >
        <label for="hub">From the Hugging Face Hub</label>
        <div class="inline">
          <input
            id="hub"
            type="text"
            value={id}
            placeholder="nvidia/groupvit-gcc-yfcc"
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => setId(event.currentTarget.value)}
          />
          <button type="submit" class="primary">
            Load
          </button>
        </div>
        <p class="hint">
          The only thing here that asks another server. Large: 0.2 GB for this one.
        </p>
      </form>
      <div class="inline">
        <label class="button">
          Files…
          <input
            type="file"
            multiple
            class="visually-hidden"
            onChange={(event) => pick(event.currentTarget.files)}
          />
        </label>
        <label class="button">
          Folder…
          <input
            type="file"
            multiple
            class="visually-hidden"
            ref={(input) => {
              input?.setAttribute("webkitdirectory", "");
            }}
            onChange={(event) => pick(event.currentTarget.files)}
          />
        </label>
        <span class="hint">
          A model's config.json and weights. Dropping them on the page works, too.
        </span>
      </div>
    </dialog>
  );
}
