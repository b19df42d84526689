// Requests and answers as zod schemas: the one source of their checks, their types (the client's too)
// and the OpenAPI description.

import * as z from "zod";
import { QUALITIES } from "../evaluate/quality.js";

export const MAX_LABELS = 1000;
export const MAX_LABEL_LENGTH = 256;
/** Prompts that one request may need: labels with their synonyms, in every template. */
export const MAX_PROMPTS = 100_000;
const MAX_LABEL_TEXT = MAX_LABELS * (MAX_LABEL_LENGTH + 2);
const MAX_TEXTS = 256;
const MAX_TEXT_LENGTH = 4096;

const labelList = z
  .union([
    z.string().max(MAX_LABEL_TEXT),
    z.array(z.string().max(MAX_LABEL_LENGTH)).min(1).max(MAX_LABELS),
  ])
  .describe(
    'Words to look for: "dog, tree, sky"; with synonyms "sofa, couch; dog"; or a list, one label an item.',
  );

export const vocabularyName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "use a to z, 0 to 9, - and _, 64 at most");

const prompts = z
  .enum(["simple", "subset", "full"])
  .describe("1, 7 or 80 prompt templates around each label.");

const pictureFields = {
  picture: z
    .string()
    .optional()
    .meta({ format: "byte" })
    .describe("The picture file in base64, or a data: URL."),
  picture_url: z
    .string()
    .max(4096)
    .optional()
    .describe("Address of the picture, where the server allows it."),
  picture_id: z.string().max(64).optional().describe("A picture that was sent with keep before."),
  file: z
    .string()
    .max(255)
    .optional()
    .describe('What the answer calls the picture. Default "picture", or the name of the upload.'),
  keep: z
    .boolean()
    .optional()
    .describe("Keep the encoded picture for some minutes; the answer has its picture_id."),
};

const encodeFields = {
  mode: z
    .enum(["whole", "slide"])
    .optional()
    .describe("One window, or overlapping square ones, slower and finer. Default whole."),
  short_side: z
    .int()
    .min(1)
    .max(4096)
    .optional()
    .describe("Short side in pixels at which the picture is encoded. Default: the model's."),
};

const labelFields = {
  labels: labelList.optional(),
  vocabulary: vocabularyName
    .optional()
    .describe("A stored vocabulary, or voc, context, coco, imagenet; instead of labels."),
};

export const backgroundFields = {
  background: z
    .enum(["none", "threshold", "words"])
    .optional()
    .describe("Which pixels take no label. Default none, or the vocabulary's."),
  background_words: labelList.optional().describe("Words that stand for background."),
  threshold: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("Scores below it are background. Default: the model's, or the vocabulary's."),
};

export const segmentRequest = z.strictObject({
  ...pictureFields,
  ...labelFields,
  ...encodeFields,
  ...backgroundFields,
  prompts: prompts.optional(),
  top_k: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe("How many labels, nearest to the picture, may win. Default 5."),
  quality: z
    .enum(QUALITIES)
    .optional()
    .describe(
      "fast encodes a smaller picture, best looks twice and fits borders to the picture's edges. Default balanced.",
    ),
});

export const classifyRequest = z.strictObject({
  ...pictureFields,
  ...labelFields,
  prompts: prompts.optional().describe("Templates around the labels. Default: labels as they are."),
  top: z.int().min(1).max(100_000).optional().describe("How many labels to answer. Default 5."),
});

export const groupsRequest = z.strictObject({
  ...pictureFields,
  ...labelFields,
  prompts: prompts.optional(),
  draw: z
    .enum([
      "input",
      "pred",
      "input_pred",
      "input_pred_label",
      "all_groups",
      "first_group",
      "final_group",
      "sheet",
    ])
    .optional()
    .describe("What image/png shows. Default all_groups, or sheet with labels."),
});

export const embedRequest = z.strictObject({
  ...pictureFields,
  texts: z
    .array(z.string().min(1).max(MAX_TEXT_LENGTH))
    .max(MAX_TEXTS)
    .optional()
    .describe("Texts, taken as they are."),
});

export const vocabularyRequest = z.strictObject({
  name: vocabularyName,
  labels: labelList,
  ...backgroundFields,
});

const rle = z.object({
  size: z.tuple([z.int(), z.int()]).describe("Height, width."),
  counts: z.string().describe("COCO's compressed run lengths."),
});

const answered = {
  model: z.string(),
  picture_id: z.string().optional().describe("Present where the request said keep."),
};

export const segmentResponse = z.object({
  file: z.string(),
  width: z.int(),
  height: z.int(),
  labels: z
    .array(
      z.object({ label: z.string(), score: z.number(), area: z.int(), rle }).describe("A label."),
    )
    .describe("Every label, largest area first."),
  mask: z.null(),
  ...answered,
});

export const classifyResponse = z.object({
  file: z.string(),
  labels: z.array(z.object({ label: z.string(), score: z.number() })),
  ...answered,
});

export const groupsResponse = z.object({
  file: z.string(),
  width: z.int(),
  height: z.int(),
  stages: z
    .array(
      z.object({
        groups: z.int(),
        nodes: z.array(
          z.object({
            group: z.int(),
            parent: z.int(),
            segment: z.int(),
            weight: z.number(),
            area: z.number(),
          }),
        ),
        rle: z.array(rle).describe("The mask of each group."),
      }),
    )
    .describe("The grouping blocks, first to last."),
  ...answered,
});

export const embedResponse = z.object({
  file: z.string().optional(),
  embedding: z.array(z.number()).optional().describe("The picture's vector, of length 1."),
  dim: z.int(),
  texts: z.array(z.object({ text: z.string(), embedding: z.array(z.number()) })),
  ...answered,
});

export const vocabulary = z.object({
  name: z.string(),
  labels: z.array(z.string()),
  background: z.enum(["none", "threshold", "words"]),
  background_words: z.array(z.string()).optional(),
  threshold: z.number().optional(),
  built_in: z.boolean(),
});

export const vocabulariesResponse = z.object({ vocabularies: z.array(vocabulary) });

export const modelsResponse = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      version: z.string().describe("What answers call the model."),
      dim: z.int(),
      short_side: z.int(),
      groups: z.array(z.int()),
      engines: z.int(),
    }),
  ),
});

export const statusResponse = z.object({ status: z.string() });

export const errorResponse = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    way_out: z.string().optional(),
  }),
});

export type SegmentRequest = z.infer<typeof segmentRequest>;
export type SegmentResponse = z.infer<typeof segmentResponse>;
export type ClassifyRequest = z.infer<typeof classifyRequest>;
export type ClassifyResponse = z.infer<typeof classifyResponse>;
export type GroupsRequest = z.infer<typeof groupsRequest>;
export type GroupsResponse = z.infer<typeof groupsResponse>;
export type EmbedRequest = z.infer<typeof embedRequest>;
export type EmbedResponse = z.infer<typeof embedResponse>;
export type VocabularyRequest = z.infer<typeof vocabularyRequest>;
export type VocabularyResponse = z.infer<typeof vocabulary>;
export type VocabulariesResponse = z.infer<typeof vocabulariesResponse>;
export type ModelsResponse = z.infer<typeof modelsResponse>;
export type ErrorResponse = z.infer<typeof errorResponse>;
