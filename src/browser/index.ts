// `groupvit/browser`: the package as pages use it. The model computes in a worker; what is exported beside
// it are small pure functions that a page needs to show and save what comes back.

export * from "../light-parts.js";
export type { FileSource } from "./files.js";
export { modelFiles } from "./files.js";
export type { BrowserLoadOptions, BrowserPictureSource } from "./model.js";
export { BrowserPicture, GroupViT } from "./model.js";
export type { BrowserDevice, LoadProgress } from "./protocol.js";
