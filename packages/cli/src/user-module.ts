/** Modules of the user's own, given by path where a name could stand. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { complaintOf, UsageError } from "./output.ts";

/** Returns whether a word is meant as a path: names have neither dots nor slashes. */
export function isPath(word: string): boolean {
  return /[./\\]/.test(word);
}

/**
 * Imports the module at a path and returns its default export.
 *
 * @param what - What that function makes, as complaints name it.
 * @throws {@link UsageError} if the module cannot be imported, or exports no function.
 */
export async function defaultFunctionOf(path: string, what: string): Promise<(setting: unknown) => unknown> {
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as typeof module;
  } catch (error) {
    throw new UsageError(`${path}: cannot be imported: ${complaintOf(error)}`);
  }
  const made = module.default;
  if (typeof made !== "function") throw new UsageError(`${path}: its default export is no function that makes ${what}`);
  return made as (setting: unknown) => unknown;
}
