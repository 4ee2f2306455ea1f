/** @import { Options } from "tsup" */

/**
 * The build of one library package: ES modules with declarations and source maps; siblings stay external.
 *
 * @param {string[]} entry the entry points, relative to the package
 * @returns {Options} what tsup.config.ts exports
 */
export function library(entry) {
  return {
    entry,
    format: ["esm"],
    target: "es2023",
    platform: "neutral",
    external: [/^node:/],
    // Declarations are nine tenths of the build's time: `npm start` runs without them.
    dts:
      process.env["PAGEWRIGHT_JS_ONLY"] === "1"
        ? false
        : { compilerOptions: { ignoreDeprecations: "6.0", incremental: false, tsBuildInfoFile: null } },
    sourcemap: true,
    splitting: true,
    clean: true,
    silent: true,
    tsconfig: "../../tsconfig.json",
    esbuildOptions(options) {
      // Puts written numbers in place of constants, which no bundler does any more once they are variables of a built module.
      options.minifySyntax = true;
    },
  };
}
