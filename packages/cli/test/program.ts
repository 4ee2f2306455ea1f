/** Runs the real program as a child process, from source. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

const POLL_MS = 10;

/** What a run left. */
export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a run differs from the plain one. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array;
  /** Sends this signal once the condition holds. */
  readonly interrupt?: { readonly signal: NodeJS.Signals; readonly when: () => boolean };
}

/** Runs `pagewright` with these arguments to its end. */
export function pagewright(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const child = spawn(process.execPath, ["--conditions=@pagewright/source", "--import", "tsx", MAIN, ...args], {
    env: { ...process.env, ...options.env },
    stdio: "pipe",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.end(options.input ?? "");
  const { interrupt } = options;
  const poll = setInterval(() => {
    if (interrupt?.when() === true) child.kill(interrupt.signal);
  }, POLL_MS);
  child.on("close", () => clearInterval(poll));
  return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })));
}

/** Returns the run's JSON document. */
export async function json<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const run = await pagewright([...args, "--json"], options);
  if (run.stdout === "") throw new Error(`exit code ${String(run.code)}: ${run.stderr}`);
  return JSON.parse(run.stdout) as T;
}
