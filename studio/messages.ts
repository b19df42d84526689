// Errors in words that a person understands: what happened, what to do, and the precise message.

export interface Message {
  readonly title: string;
  /** What to do about it. */
  readonly advice: string;
  /** The error as it was thrown, for those who want to know. */
  readonly detail: string;
  /** The engine computes no more: the model must be loaded again. */
  readonly engineLost?: boolean;
}

const OUT_OF_MEMORY =
  /out of memory|gives the engine no more|allocat|bad_alloc|OOM|memory access out of bounds|Array buffer|Invalid (typed )?array length|too large here/i;

/** What an error means while doing `what`: reading a picture, loading a model, or working. */
export function explainError(error: unknown, what: "picture" | "model" | "work"): Message {
  const thrown = error instanceof Error ? error : new Error(String(error));
  const detail = thrown.message;
  const say = (title: string, advice: string): Message => ({ title, advice, detail });
  if (thrown.name === "NotAllowedError" || thrown.name === "NotFoundError") {
    return say(
      "The camera is not available",
      "Allow this page to use a camera, or open a picture instead.",
    );
  }
  const engineLost = /^(model|memory|worker): .*load (it|the model) again/.test(detail);
  if (OUT_OF_MEMORY.test(detail) || thrown instanceof RangeError) {
    return {
      ...say(
        "This browser ran out of memory",
        "Close other tabs, or take a smaller picture or model.",
      ),
      engineLost,
    };
  }
  if (engineLost)
    return { ...say("The engine broke down", "It is being started again."), engineLost };
  if (what === "model") {
    if (thrown.name === "HubError") {
      return say(
        "The model could not be downloaded",
        "Check its name and your network; the bundled model works without one.",
      );
    }
    return say(
      "These are not the weights of a model that the studio knows",
      "Give the config.json and the weights (.safetensors, .bin or .pth) of a GroupViT model, whole.",
    );
  }
  if (what === "picture") {
    if (/more than the limit|too large|larger than|exceeds the canvas/.test(detail)) {
      return say(
        "This picture is too large",
        "Take one of at most 100 megapixels, or save it smaller.",
      );
    }
    const format = /: browsers do not decode (TIFF)|: ([\w ]+) is not supported/.exec(detail);
    if (format) {
      return say(
        `The studio cannot read ${format[1] ?? format[2]} files`,
        "Save the picture as PNG or JPEG.",
      );
    }
    if (/smaller than one patch/.test(detail)) {
      return say(
        "This picture is too narrow",
        "Take a larger or a less elongated one, or cut it to a squarer shape.",
      );
    }
    if (/0 bytes/.test(detail)) {
      return say("This file is empty", "Download or save the picture again.");
    }
    if (/damaged|cut short/.test(detail)) {
      return say("This picture is damaged", "Download or save it again.");
    }
    return say(
      "This is not a picture that the studio can read",
      "Take a JPEG, PNG, WebP, AVIF or GIF file.",
    );
  }
  return say("That did not work", "Try again; reload the page if it stays so.");
}
