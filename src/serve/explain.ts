// What a schema finds wrong with a request, for people: the value, and what may stand there.

import type * as z from "zod";
import { quote } from "../checkpoint/quote.js";

type Issue = z.core.$ZodIssue;

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "number",
  int: "whole number",
  array: "list",
  object: "object",
  record: "object",
  boolean: "boolean (true or false)",
};
const UNITS: Readonly<Record<string, string>> = { string: " characters", array: " items" };
/** Unknown fields that a message names. */
const MAX_NAMED = 5;

/** @param issue with its input, which `safeParse` adds where `reportInput` is set */
export function explain(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return wrongKind(issue.input, [issue.expected]);
    case "too_small":
    case "too_big": {
      const { input, origin } = issue;
      const unit = UNITS[origin] ?? "";
      const limit =
        issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
      if (unit === "") return `${show(input)} is not ${limit}`;
      return `it has ${(input as { length: number }).length}${unit}, not ${limit}`;
    }
    case "invalid_value":
      return `${show(issue.input)} is none of ${issue.values.map(String).join(", ")}`;
    case "unrecognized_keys": {
      const names = issue.keys
        .slice(0, MAX_NAMED)
        .map((name) => quote(name))
        .join(", ");
      return `there is no field ${names}${issue.keys.length > MAX_NAMED ? ", ..." : ""}`;
    }
    case "invalid_format":
      return `${show(issue.input)}: ${issue.message}`;
    case "invalid_union": {
      // The form that was meant is the one whose outside is right.
      const meant = issue.errors.find(([first]) => !isKind(first) || first.path.length > 0)?.[0];
      if (meant)
        return `${meant.path.length > 0 ? `number ${itemOf(meant)}: ` : ""}${explain(meant)}`;
      const expected = issue.errors.flatMap(([first]) => (isKind(first) ? [first.expected] : []));
      return wrongKind(issue.input, expected);
    }
    default:
      return issue.message;
  }
}

const isKind = (issue: Issue | undefined): issue is z.core.$ZodIssueInvalidType =>
  issue?.code === "invalid_type";

/** Items count from 1 for people. */
const itemOf = ({ path }: Issue) => Number(path[0]) + 1;

function wrongKind(input: unknown, expected: readonly string[]): string {
  if (input === undefined) return "it is missing";
  const kinds = expected.map((kind) => KINDS[kind] ?? kind);
  return `${show(input)} is no ${kinds.join(" and no ")}`;
}

function show(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
