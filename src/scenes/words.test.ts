import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLASS_NAMES, CLASS_RULES, classOfEmoji, classOfText, parseClassRules } from "./classes.js";
import { iconWords, isHeldOutStamp } from "./sources.js";
import { article, COLOURS, colourIndex, isMass, NO_COLOUR, plural, singular } from "./words.js";

describe("class rules", () => {
  it("are the 158 everyday nouns", () => {
    expect(CLASS_RULES).toHaveLength(158);
    expect(new Set(CLASS_NAMES).size).toBe(159);
  });

  it.each([
    ["guide dog", "dog"],
    ["dog leash", null],
    ["hot dog", null],
    ["police car", "police car"],
    ["fire engine", "fire truck"],
    ["palm tree", "palm tree"],
    ["coffee cup", "cup"],
    ["mobile phone", "phone"],
    ["glasses", "glasses"],
    ["wine glass", "glass"],
    ["sunflower", "sunflower"],
    ["cupcake", "cake"],
    ["background", null],
  ])("find in %j at its end: %j", (text, expected) => {
    expect(classOfText(text, true)).toBe(expected);
  });

  it("know emoji by their annotation, apostrophes or not", () => {
    expect(classOfEmoji("woman’s hat")).toBe("hat");
    expect(classOfEmoji("womans hat")).toBe("hat");
    expect(classOfEmoji("automobile")).toBe("car");
    expect(classOfEmoji("grinning face")).toBeNull();
  });

  it("reject broken lines by name", () => {
    expect(() => parseClassRules("dog|dog face")).toThrow(/"dog\|dog face" has 2 fields/);
    expect(() => parseClassRules("dog|dog|[|")).toThrow(/class rule "dog" has a broken pattern/);
  });
});

describe("names of icons", () => {
  it.each([
    ["fire-truck-outline", "fire truck"],
    ["baseline-pets", "pets"],
    ["key2", "key"],
    ["home-12-filled", "home"],
    ["light-bulb", "light bulb"],
  ])("%s is about %s", (name, words) => {
    expect(iconWords(name).join(" ")).toBe(words);
  });
});

describe("stamps", () => {
  it("of one name stand on the same side of the split", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{1,12}$/), (stem) => {
        const side = isHeldOutStamp(`/a/${stem}.png`);
        expect(isHeldOutStamp(`/b/${stem}.svg`)).toBe(side);
        expect(isHeldOutStamp(`/b/${stem}_mirror.png`)).toBe(side);
      }),
      { seed: 1 },
    );
  });

  it("are held out to about one third", () => {
    let held = 0;
    for (let i = 0; i < 3000; i++) held += isHeldOutStamp(`stamp${i}.png`) ? 1 : 0;
    expect(held).toBeGreaterThan(900);
    expect(held).toBeLessThan(1100);
  });
});

describe("English", () => {
  it.each([
    ["apple", "an"],
    ["hourglass", "an"],
    ["unicorn", "a"],
    ["umbrella", "an"],
    ["ufo", "a"],
    ["ukulele", "a"],
    ["red apple", "a"],
  ])("%s takes %s", (noun, expected) => {
    expect(article(noun)).toBe(expected);
  });

  it.each([
    ["dog", "dogs"],
    ["sheep", "sheep"],
    ["computer mouse", "computer mice"],
    ["fire truck", "fire trucks"],
    ["butterfly", "butterflies"],
    ["monkey", "monkeys"],
    ["bus", "buses"],
    ["knife", "knives"],
    ["policeman", "policemen"],
    ["scissors", "scissors"],
    ["statue of liberty", "statues of liberty"],
    ["bread", "bread"],
  ])("more than one %s are %s", (noun, expected) => {
    expect(plural(noun)).toBe(expected);
  });

  it("puts adjectives where they belong", () => {
    expect(singular("car", "small red")).toBe("a small red car");
    expect(singular("scissors", "old")).toBe("an old pair of scissors");
    expect(singular("bread", "brown")).toBe("brown bread");
    expect(singular("grapes")).toBe("grapes");
  });

  it("gives every class a singular and a plural without doubled words", () => {
    for (const noun of CLASS_NAMES.slice(1)) {
      expect(singular(noun)).toMatch(/^(an? )?(pair of )?\S/);
      if (!isMass(noun) && plural(noun) !== noun) expect(plural(noun)).toMatch(/(s|men|mice|i)$/);
    }
  });
});

describe("colour names", () => {
  it.each([
    ["black", [10, 10, 10]],
    ["white", [250, 250, 250]],
    ["grey", [128, 128, 128]],
    ["red", [220, 20, 30]],
    ["orange", [255, 140, 0]],
    ["yellow", [255, 230, 20]],
    ["green", [30, 160, 60]],
    ["blue", [40, 80, 220]],
    ["purple", [130, 40, 170]],
    ["pink", [255, 130, 190]],
    ["brown", [120, 70, 30]],
  ] as const)("%s is %j", (name, [red, green, blue]) => {
    expect(COLOURS[colourIndex(red, green, blue)]).toBe(name);
  });

  it("are withheld between two names", () => {
    expect(colourIndex(64, 200, 190)).toBe(NO_COLOUR); // turquoise
    expect(colourIndex(230, 210, 180)).toBe(NO_COLOUR); // beige
  });
});
