// Which model: the bundled one, one from the Hub, or files of your own.

import { useEffect, useRef, useState } from "preact/hooks";
import { Choice } from "./choice.js";
import { takeModel } from "./files.js";
import { CROSS, Glyph } from "./glyph.js";
import type { Dtype, Session, State } from "./session.js";

const DTYPES: readonly (readonly [Dtype, string])[] = [
  ["fp32", "fp32"],
  ["fp16", "fp16"],
  ["int8", "int8"],
];

/** An id in its parts; whoever copies the address of a model's page gives the id, too. */
const HUB_ID = "[\\w.\\-]+/[\\w.\\-]+";
const hubId = (typed: string) =>
  typed.trim().replace(/^(?:https:\/\/)?(?:huggingface\.co|hf\.co)\/+([^/]+\/[^/?#]+).*$/, "$1");

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
  const pick = (input: HTMLInputElement) => {
    if (input.files?.length) void takeModel(session, [...input.files]);
    input.value = ""; // the same files can be picked again
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
      <p class="hint" role="status">
        {state.loading
          ? "Loading …"
          : `Now: ${state.model ? `${state.model.name}, ${state.model.dtype}` : "none"}`}
      </p>
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
          void session.loadModel(id);
          close();
        }}
      >
        <label for="hub">From the Hugging Face Hub</label>
        <div class="inline">
          <input
            id="hub"
            type="text"
            value={id}
            required
            pattern={HUB_ID}
            title="A model's id: its owner, a slash, its name"
            placeholder="nvidia/groupvit-gcc-yfcc"
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => {
              const field = event.currentTarget;
              const typed = hubId(field.value);
              // Also where the state has it already and nothing is rendered.
              if (typed !== field.value) field.value = typed;
              setId(typed);
            }}
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
            onChange={(event) => pick(event.currentTarget)}
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
            onChange={(event) => pick(event.currentTarget)}
          />
        </label>
        <span class="hint">
          A model's config.json and weights. Dropping them on the page works, too.
        </span>
      </div>
      <div class="numbers">
        <span aria-hidden="true">Numbers of the weights</span>
        <Choice
          legend="Numbers of the weights"
          name="dtype"
          choices={DTYPES}
          value={state.dtype}
          choose={(dtype) => void session.chooseDtype(dtype)}
          wide
        />
        <p class="hint">
          fp32 is as trained, fp16 nearly so; int8 needs the least memory and changes masks more.
          Choosing loads the model again.
        </p>
      </div>
    </dialog>
  );
}
