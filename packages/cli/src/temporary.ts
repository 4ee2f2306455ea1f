/**
 * Temporary folders that do not outlive the run: removed when it ends, fails, or is interrupted.
 *
 * A signal can only be seen between two turns of the event loop, so commands that have such folders and compute for long give way several times a
 * second ({@link breathe}). Until there is a folder, nothing has to be removed, and a signal ends the process as usual: at once, even while it
 * waits for bytes that nobody writes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { complaintOf, UsageError } from "./output.ts";

const folders = new Set<string>();

/**
 * Makes a new, empty temporary folder and returns its path.
 *
 * @param parent - Where to make it; the system's folder for temporary files if absent.
 * @throws {@link UsageError} if the parent cannot be written to.
 */
export function temporaryFolder(parent: string = tmpdir()): string {
  if (parent === "") throw new UsageError("cannot make a temporary folder: the name of its parent is empty");
  watch();
  try {
    const folder = mkdtempSync(join(parent, "pagewright-"));
    folders.add(folder);
    return folder;
  } catch (error) {
    throw new UsageError(`cannot make a temporary folder in ${parent}: ${complaintOf(error)}`);
  }
}

/** Removes every folder that {@link temporaryFolder} made. */
export function removeTemporaryFolders(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

let watched = false;

/** Sees to it that a signal or an early exit removes the folders too; further calls do nothing. */
function watch(): void {
  if (watched) return;
  watched = true;
  process.on("exit", removeTemporaryFolders);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, leaveBySignal);
}

/** Cleans up, undisturbed by impatient second signals, then dies by the same signal, so that the caller sees what happened. */
function leaveBySignal(signal: NodeJS.Signals): void {
  removeTemporaryFolders();
  process.removeListener(signal, leaveBySignal);
  process.kill(process.pid, signal);
}

/** Gives way to signals and to the terminal; a loop that runs for long awaits this several times a second. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
