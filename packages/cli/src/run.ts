/**
 * One run of the program.
 *
 * Everything that ends a run early passes through here and becomes one line on standard error and an exit code; a
 * stack trace is printed only if PAGEWRIGHT_DEBUG is set.
 */
import { CommanderError } from "commander";
import { complaintOf, EXIT_BAD_INPUT, EXIT_FAILED_CHECK, EXIT_OK, FailedCheck, printError } from "./output.ts";
import { createProgram } from "./program.ts";
import { removeTemporaryFolders } from "./temporary.ts";

/**
 * Runs one command line and leaves its exit code in `process.exitCode`: 0 success, 1 what was checked does not hold,
 * 2 bad usage or unreadable input.
 *
 * @param args - The arguments after the program's name.
 */
export async function run(args: readonly string[]): Promise<void> {
  process.exitCode = EXIT_OK;
  try {
    const program = await createProgram(args);
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  } finally {
    removeTemporaryFolders();
  }
}

/** Says in one line what ended a run early, and returns the exit code for it. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_BAD_INPUT;
  printError(complaintOf(error));
  if (process.env["PAGEWRIGHT_DEBUG"] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ""}\n`);
  return error instanceof FailedCheck ? EXIT_FAILED_CHECK : EXIT_BAD_INPUT;
}
