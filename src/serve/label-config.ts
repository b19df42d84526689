// A Label Studio labelling interface (XML): where its picture is, and its labels with the words that
// they stand for.

import { XMLParser } from "fast-xml-parser";
import { ApiError } from "./errors.js";

/** What a project asks for. */
export interface LabelConfig {
  /** Name of the first `BrushLabels` tag. */
  fromName: string;
  /** Name of the `Image` tag. */
  toName: string;
  /** Field of a task's data that holds the picture's address. */
  field: string;
  /** Of all `BrushLabels` tags for this picture, in order. */
  labels: {
    name: string;
    words: string;
    /** Name of its `BrushLabels` tag, where it is not of the first. */
    fromName?: string;
  }[];
}

/** Characters; parsing holds up everybody else, and a thousand labels fit. */
const MAX_XML = 1 << 17;
const MAX_DEPTH = 64;

type Element = Record<string, unknown>;

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  parseAttributeValue: false,
  // Characters by number and by name; documents cannot define others.
  htmlEntities: true,
  processEntities: { enabled: true, maxTotalExpansions: 10_000, maxEntityCount: 0 },
});

/**
 * Reads a labelling interface. A label's words are its `alias` (or `hint`), with commas between synonyms;
 * else its name.
 *
 * @throws ApiError 400 naming what is missing
 */
export function readLabelConfig(xml: string): LabelConfig {
  if (xml.length > MAX_XML) throw invalid(`it has more than ${MAX_XML} characters`, "shorten it");
  if (/<!(DOCTYPE|ENTITY)/i.test(xml)) throw invalid("it has a DOCTYPE", "remove that");
  let tree: Element[];
  try {
    tree = parser.parse(xml, true) as Element[];
  } catch {
    throw invalid("it is no XML", "copy the project's labelling interface");
  }
  const tags = [...elements(tree, 0)];
  const brushes = tags.filter(({ tag }) => tag.toLowerCase() === "brushlabels");
  if (brushes.length === 0) throw invalid("it has no BrushLabels tag", "add one for masks");
  if (brushes.some(({ attributes: { name, toname } }) => !name || !toname)) {
    throw invalid("BrushLabels has no name or toName", "add both");
  }
  const { name: fromName = "", toname: toName = "" } = brushes[0]!.attributes;
  const image = tags.find(({ tag, attributes }) => {
    return tag.toLowerCase() === "image" && attributes.name === toName;
  });
  const field = /^\$([^\s$]{1,100})$/.exec(image?.attributes.value ?? "")?.[1];
  if (field === undefined) {
    throw invalid(
      `there is no Image tag "${toName.slice(0, 80)}" with a value as "$image"`,
      "add it",
    );
  }
  const labels = brushes
    .filter(({ attributes }) => attributes.toname === toName)
    .flatMap(({ attributes: { name }, children }) =>
      labelsOf(children).map((label) => (name === fromName ? label : { ...label, fromName: name })),
    );
  if (labels.length === 0) throw invalid("BrushLabels has no Label with a value", "add one");
  return { fromName, toName, field, labels };
}

function labelsOf(children: readonly Element[]): { name: string; words: string }[] {
  return [...elements(children, 0)]
    .filter(({ tag }) => tag.toLowerCase() === "label")
    .flatMap(({ attributes: { value, alias, hint } }) => {
      if (!value) return [];
      // As in Label Studio, an empty alias is none.
      const words = [alias, hint].find((text) => text?.trim()) ?? value;
      return { name: value, words: words.replaceAll(";", ",") };
    });
}

const invalid = (why: string, wayOut: string) =>
  new ApiError(400, "label_config", `the labelling interface cannot be used: ${why}; ${wayOut}`);

/** Every element with its text attributes, in the order of the document. */
function* elements(
  list: readonly Element[],
  depth: number,
): Generator<{ tag: string; attributes: Record<string, string>; children: Element[] }> {
  if (depth > MAX_DEPTH)
    throw invalid(`more than ${MAX_DEPTH} tags within each other`, "flatten it");
  for (const node of list) {
    // Label Studio does not mind the case of their names.
    const attributes = Object.fromEntries(
      Object.entries((node[":@"] ?? {}) as Record<string, string>).map(([name, value]) => [
        name.toLowerCase(),
        value,
      ]),
    );
    for (const [tag, children] of Object.entries(node)) {
      if (tag === ":@" || !Array.isArray(children)) continue;
      yield { tag, attributes, children };
      yield* elements(children, depth + 1);
    }
  }
}
