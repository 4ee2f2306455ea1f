/**
 * What needs Node: media and non-volatile memory in real files.
 */
export { FileMedium } from "./node/file-medium.ts";
export { FrameFile } from "./node/frame-file.ts";
