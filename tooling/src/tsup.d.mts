import type { Options } from "tsup";

/** The build of one library package: ES modules with declarations and source maps; siblings stay external. */
export declare function library(entry: string[]): Options;
