// How arguments become pictures, and pictures names of files.

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { glob, walk } from "../../src/cli/glob.js";
import { findSources, outputNames } from "../../src/cli/sources.js";
import { temporaryFolder } from "../support/temporary.js";

const folder = await temporaryFolder();
const FILES = [
  "b.jpg",
  "a.jpg",
  "A.png",
  "x/a.jpg",
  "x/y/[1].jpg",
  "x/y/.hidden.jpg",
  ".git/c.jpg",
];

beforeAll(async () => {
  for (const file of FILES) {
    await mkdir(join(folder, file, ".."), { recursive: true });
    await writeFile(join(folder, file), "");
  }
  await symlink(folder, join(folder, "x", "loop"));
});

test.each([
  ["*.jpg", ["a.jpg", "b.jpg"]],
  ["[!a].jpg", ["b.jpg"]],
  ["[a-b].{jpg,png}", ["a.jpg", "b.jpg"]],
  ["?.*", ["A.png", "a.jpg", "b.jpg"]],
  ["**/*.jpg", ["a.jpg", "b.jpg", "x/a.jpg", "x/y/[1].jpg"]],
  ["x/**", ["x/a.jpg", "x/y/[1].jpg"]],
  ["x/../*.png", ["A.png"]],
  ["x/y/.h*", ["x/y/.hidden.jpg"]],
  ["x/y/[[]1].jpg", ["x/y/[1].jpg"]],
  ["[z-a].jpg", []],
  ["{a,{b,x/a}}.jpg", ["a.jpg", "b.jpg", "x/a.jpg"]],
  ["nothing/*", []],
])("%s", async (pattern, expected) => {
  const found = (await glob(join(folder, "/") + pattern)).map((path) =>
    join(path).slice(folder.length + 1),
  );
  // A link to a folder is a file to `x/**`, which then is no picture; it is not followed.
  expect(found.filter((path) => path !== "x/loop")).toEqual(expected);
});

test("a walk leaves out hidden names and does not follow links to folders", async () => {
  const found = (await walk(folder)).map((path) => path.slice(folder.length + 1));
  expect(found.filter((path) => path !== "x/loop")).toEqual([
    "A.png",
    "a.jpg",
    "b.jpg",
    "x/a.jpg",
    "x/y/[1].jpg",
  ]);
});

test("what exists under a name is taken as such, whatever the name looks like", async () => {
  const sources = await findSources([
    join(folder, "x/y/[1].jpg"),
    `${folder}/x/../a.jpg`,
    join(folder, "a.jpg"),
  ]);
  expect(sources.map(({ name }) => name)).toEqual(["[1]", "a"]);
});

test("names of results are short, and folders tell equal ones apart", () => {
  expect(outputNames(["p/dog.jpg", "p/cat.jpg"])).toEqual(["dog", "cat"]);
  expect(outputNames(["dog.jpg", "dog.png"])).toEqual(["dog.jpg", "dog.png"]);
  expect(outputNames(["a/dog.jpg", "b/dog.jpg", "b/cat.jpg"])).toEqual([
    "a_dog.jpg",
    "b_dog.jpg",
    "cat",
  ]);
  expect(outputNames(["a/c/dog.jpg", "b/c/dog.jpg"])).toEqual(["a_c_dog.jpg", "b_c_dog.jpg"]);
  expect(outputNames(["Dog.jpg", "dog.png"])).toEqual(["Dog.jpg", "dog.png"]);
  expect(outputNames(["-", "https://a.org/x%20y.jpg?q=1", "data:image/png;base64,AA"])).toEqual([
    "stdin",
    "x-y",
    "picture",
  ]);
  expect(outputNames(["https://a.org/d.jpg?1", "https://a.org/d.jpg?2"])).toEqual([
    "a.org_d.jpg",
    "a.org_d.jpg-2",
  ]);
});

test("names never collide, leave their folder or grow too long", () => {
  const part = fc.string({
    unit: fc.constantFrom("a", "A", "b", ".", "-", "2", "é"),
    minLength: 1,
    maxLength: 4,
  });
  const file = fc.oneof(
    fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
    fc.string().map((text) => `https://example.org/${text}`),
  );
  fc.assert(
    fc.property(fc.uniqueArray(file, { maxLength: 12 }), (files) => {
      const names = outputNames(files);
      expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(files.length);
      for (const name of names) {
        expect(name).not.toMatch(/[/\\]|^$/);
        expect(Buffer.byteLength(name)).toBeLessThan(220);
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});
