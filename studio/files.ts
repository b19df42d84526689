// What people drop, paste or pick: a picture, or the files or folder of a model.

import { modelFiles } from "groupvit/browser";
import type { Session } from "./session.js";

const WEIGHTS = /\.(safetensors|bin|pth|pt|index\.json)$/;

export async function takeFiles(
  session: Session,
  given: DataTransfer | readonly File[],
): Promise<void> {
  const dropped = given instanceof DataTransfer;
  const files = dropped ? Array.from(given.files) : given;
  const folder =
    dropped && Array.from(given.items).some((item) => item.webkitGetAsEntry()?.isDirectory);
  if (folder || files.some(({ name }) => WEIGHTS.test(name))) await takeModel(session, given);
  else if (files[0]) await session.open(files[0], files[0].name || "pasted.png");
}

/** Takes the files of a model, or says what is missing. */
export async function takeModel(
  session: Session,
  given: DataTransfer | readonly File[],
): Promise<void> {
  try {
    await session.loadModel(await modelFiles(given));
  } catch (error) {
    session.fail(error, "model");
  }
}
