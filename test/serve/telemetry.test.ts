// ONNX Runtime's builds report to their maker and name the machine in the user's cache folder, unless told not to.

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GoodRequests } from "./support/abuse.js";
import { ownFolder, serve } from "./support/process.js";

test("a server that has worked leaves nothing in the user's folder but its own cache", async () => {
  const home = await ownFolder();
  const folder = join(home, "groupvit");
  await mkdir(folder);
  // Not the variables of this process: on a build server the engine keeps silent of itself.
  const env = { HOME: home, XDG_CACHE_HOME: join(home, "cache") };
  const server = await serve({ env, folder });
  await new GoodRequests(server.url).check();
  expect(await server.stop()).toBe(0);
  const left = await readdir(home, { recursive: true });
  expect(left.filter((name) => !name.startsWith("groupvit"))).toEqual([]);
}, 240_000);
