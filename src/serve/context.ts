// What the routes share.

import type { Tokens } from "./auth.js";
import type { BodyBudget } from "./body.js";
import type { EnginePool } from "./engine-pool.js";
import type { Metrics } from "./metrics.js";
import type { PictureSources } from "./picture-request.js";
import type { Vocabularies } from "./vocabularies.js";

export interface ServerContext {
  pool: EnginePool;
  tokens: Tokens;
  vocabularies: Vocabularies;
  metrics: Metrics;
  sources: PictureSources;
  budget: BodyBudget;
  /** Of a picture's file. */
  maxBytes: number;
  /** Milliseconds for one request. */
  deadline: number;
  modelName: string;
  /** What answers call the model. */
  modelVersion: string;
}
