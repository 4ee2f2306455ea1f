/**
 * What the `pagewright` command is made of, for programs that read the same inputs.
 *
 * @packageDocumentation
 */
export { run } from "./run.ts";
export { UsageError } from "./output.ts";
export { readInput, readJson, readText } from "./files.ts";
export { decodePageTrace, FETCH, LOAD, STORE } from "./page-trace.ts";
export type { PageTrace } from "./page-trace.ts";
export { framesOf, parseRamSize, parseRamSizes } from "./ram-size.ts";
export type { RamSize } from "./ram-size.ts";
