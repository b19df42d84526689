// The version of the package, for answers and the OpenAPI description.

import { readFileSync } from "node:fs";

export const { version: packageVersion } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };
