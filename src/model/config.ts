// The configuration of a GroupViT model: every architecture that Hugging Face's `config.json` can express.

/** Image tower (paper, section 3.1). Lists have one entry per grouping stage. */
export interface VisionConfig {
  /** Channels of a token. */
  hiddenSize: number;
  /** Hidden width of the MLPs in transformer blocks and in the cross-attention before assignment. */
  intermediateSize: number;
  /** Transformer blocks per stage. */
  depths: number[];
  /** Learnt group tokens per stage; 0 for a stage without grouping block. */
  numGroupTokens: number[];
  /** Segments that leave each stage's grouping block. */
  numOutputGroups: number[];
  numAttentionHeads: number;
  /** Native side in pixels; position embeddings are stored for it. */
  imageSize: number;
  /** Side of a patch in pixels. */
  patchSize: number;
  numChannels: number;
  layerNormEps: number;
  /** Added to the sum of an assignment before dividing by it. */
  assignEps: number;
  /** Hidden widths of the token-mixing and the channel-mixing MLP, relative to `hiddenSize`. */
  assignMlpRatio: [number, number];
  /** Activation of the MLPs. */
  hiddenAct: Activation;
}

/** Text tower (paper, section 3.2). */
export interface TextConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  /** Longest prompt in tokens, start and end of text included. */
  maxPositionEmbeddings: number;
  layerNormEps: number;
  hiddenAct: Activation;
  padTokenId: number;
  bosTokenId: number;
  eosTokenId: number;
}

export type Activation = "gelu" | "quick_gelu" | "relu";

export interface GroupViTConfig {
  vision: VisionConfig;
  text: TextConfig;
  /** Width of the space that pictures and words share. */
  projectionDim: number;
  /** Hidden width of both projectors. */
  projectionIntermediateDim: number;
  /** Initial value of the logit scale's parameter (a logarithm). */
  logitScaleInitValue: number;
}
