/**
 * Ends that a process can come to besides the one of its run: its reader has gone, an error that nobody caught (in a callback of a user's module, say), nothing
 * left to wait for. They become a line and an exit code too.
 */
import { EXIT_BAD_INPUT, EXIT_OK, printError } from "./output.ts";
import { exitCodeOf } from "./run.ts";

/** Sees to it that the process ends in words, whatever becomes of its run; to be called once, by a process that has only this run. */
export function watchProcess(run: Promise<void>): void {
  let done = false;
  const end = (): void => {
    done = true;
  };
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    end();
    // A reader that stops early (`pagewright … | head`) is no failure of this program.
    process.exit(error.code === "EPIPE" ? EXIT_OK : exitCodeOf(error));
  });
  process.on("uncaughtException", (error) => {
    const told = done && process.exitCode !== EXIT_OK;
    end();
    process.exit(told ? process.exitCode : exitCodeOf(error));
  });
  process.on("exit", () => {
    if (done) return;
    printError("ended early: a module asked for it, or gave a promise that nothing settles");
    process.exitCode = EXIT_BAD_INPUT;
  });
  void run.then(end);
}
