// What the studio keeps and carries: words as typed, links, undo, and errors in words.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseLabels } from "../../src/input/vocabularies.js";
import { History } from "../../studio/history.js";
import { explainError } from "../../studio/messages.js";
import {
  DEFAULTS,
  fromLink,
  labelsOf,
  type Settings,
  segmentOptions,
  toLink,
  withoutLabel,
} from "../../studio/settings.js";

const text = fc.string({
  unit: fc.constantFrom("a", "B", " ", ",", ";", "ü", "\n", "&", "=", "#"),
});

describe("words", () => {
  it("are labels at every moment of typing, as parseLabels would read them", () => {
    expect(labelsOf("dog, tr")).toEqual(["dog", "tr"]);
    expect(labelsOf("sofa , couch;dog;")).toEqual(["sofa, couch", "dog"]);
    expect(labelsOf("dog,, Dog, ")).toEqual(["dog"]);
    expect(labelsOf("do\x01g\0,\ud800tree\uffff,\x02")).toEqual(["dog", "tree"]);
    expect(labelsOf("ice\tcream\x0bcone 😀")).toEqual(["ice creamcone 😀"]);
    fc.assert(
      fc.property(text, (typed) => {
        const labels = labelsOf(typed);
        if (labels.length > 0) expect(parseLabels(labels)).toEqual(labels);
        try {
          expect(labels).toEqual(parseLabels(typed));
        } catch (error) {
          // What parseLabels refuses is forgiven; what it accepts is read alike.
          if ((error as Error).name !== "InputError") throw error;
        }
      }),
    );
  });

  it("lose one label and keep the others", () => {
    expect(withoutLabel("dog, tree, sky", "tree")).toBe("dog, sky");
    expect(withoutLabel("sofa, couch; dog; cat", "dog")).toBe("sofa, couch; cat;");
    fc.assert(
      fc.property(text, fc.nat(), (typed, n) => {
        const labels = labelsOf(typed);
        const gone = labels[n % Math.max(1, labels.length)];
        fc.pre(gone !== undefined);
        const left = labelsOf(withoutLabel(typed, gone!));
        expect(left).toEqual(labels.filter((label) => label !== gone));
      }),
    );
  });

  it("never stand for background and for themselves at once", () => {
    const settings: Settings = { ...DEFAULTS, background: "words", backgroundWords: "sky, Tree" };
    expect(segmentOptions(settings, ["tree"]).backgroundWords).toEqual(["sky"]);
    expect(segmentOptions({ ...settings, backgroundWords: "Tree" }, ["tree"])).toEqual({
      topK: 5,
      prompts: "simple",
    });
  });
});

describe("a link", () => {
  const settings: fc.Arbitrary<Settings> = fc.record({
    words: text,
    other: text,
    compare: fc.boolean(),
    view: fc.constantFrom("words", "last", "first"),
    background: fc.constantFrom("none", "threshold", "words"),
    threshold: fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
    backgroundWords: text,
    topK: fc.integer({ min: 1, max: 1000 }),
    prompts: fc.constantFrom("simple", "subset", "full"),
    mode: fc.constantFrom("whole", "slide"),
    opacity: fc.integer({ min: 0, max: 20 }).map((n) => n / 20),
  });

  it("brings back the settings that it was made from", () => {
    fc.assert(
      fc.property(settings, (given) => {
        // Windows share no groups that could be shown.
        const expected = given.mode === "slide" ? { ...given, view: "words" } : given;
        expect({ ...DEFAULTS, ...fromLink(`#${toLink(given)}`) }).toEqual(expected);
      }),
    );
    expect(toLink(DEFAULTS)).toBe("");
  });

  it("from a stranger sets nothing out of range", () => {
    const hash = `#threshold=7&topK=-1&opacity=no&view=all&compare=yes&evil=1&words=${"a".repeat(9000)}`;
    expect(fromLink(hash)).toEqual({ words: "a".repeat(4000), compare: false });
    expect(fromLink("#topK=2.5")).toEqual({ topK: 2, compare: false });
  });
});

describe("undo", () => {
  it("takes typing back as a whole, other changes one by one", () => {
    const history = new History(DEFAULTS);
    for (const [i, words] of ["d", "do", "dog"].entries()) history.change({ words }, 100 * i);
    history.change({ words: "dog, cat" }, 5000);
    history.change({ opacity: 0.1 }, 5001);
    history.undo();
    expect(history.now).toEqual({ ...DEFAULTS, words: "dog, cat" });
    history.undo();
    expect(history.now.words).toBe("dog");
    history.undo();
    expect(history.now).toEqual(DEFAULTS);
    expect(history.canUndo).toBe(false);
    history.redo();
    history.redo();
    expect(history.now.words).toBe("dog, cat");
    history.change({ words: "x" }, 9000);
    expect(history.canRedo).toBe(false);
  });
});

describe("errors", () => {
  const named = (name: string, message: string) => Object.assign(new Error(message), { name });

  it.each([
    [
      named("PictureError", "a: not a picture (unknown first bytes): give JPEG"),
      "picture",
      /not a picture/,
    ],
    [
      named("PictureError", "a: 9 x 9 are 81 pixels, more than the limit of 4"),
      "picture",
      /too large/,
    ],
    [named("PictureError", "a: damaged or cut short (PNG)"), "picture", /damaged/],
    [named("PictureError", "a: HEIC is not supported: convert it"), "picture", /read HEIC files/],
    [named("PictureError", "a: browsers do not decode TIFF"), "picture", /read TIFF files/],
    [named("PictureError", "a: empty (0 bytes): save it"), "picture", /empty/],
    [named("PictureError", "a: 9 x 1 is smaller than one patch of 16"), "picture", /too narrow/],
    [named("CheckpointError", "model.safetensors: ends early"), "model", /not the weights/],
    [named("HubError", "x: cannot be reached"), "model", /could not be downloaded/],
    [new RangeError("Array buffer allocation failed"), "picture", /out of memory/],
    [
      named(
        "InputError",
        "memory: the browser gives the engine no more of it (bad_alloc); load the model again",
      ),
      "picture",
      /out of memory/,
    ],
    [named("NotAllowedError", "Permission denied"), "work", /camera/],
    [named("TypeError", "x is undefined"), "work", /did not work/],
  ] as const)("%s is told in words", (error, what, title) => {
    const message = explainError(error, what);
    expect(message.title).toMatch(title);
    expect(message.advice).toMatch(/\w+\.$/);
    expect(message.detail).toBe(error.message);
  });

  it("knows when the engine is lost", () => {
    const lost = named(
      "InputError",
      "model: its engine broke down in an earlier call; load it again",
    );
    expect(explainError(lost, "work").engineLost).toBe(true);
    expect(explainError(new RangeError("x"), "picture").engineLost).toBe(false);
  });
});
