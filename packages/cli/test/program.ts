/** Runs the real program, from source: as a child process, or, where many runs are to be quick, in this one. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { run } from "../src/run.ts";

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

/** Runs `pagewright` with these arguments in this process, its output kept. */
export async function here(args: readonly string[]): Promise<Run> {
  let stdout = "";
  let stderr = "";
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => (stdout += String(text)) !== "");
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => (stderr += String(text)) !== "");
  const before = process.exitCode;
  try {
    await run(args);
    return { code: Number(process.exitCode), signal: null, stdout, stderr };
  } finally {
    process.exitCode = before;
    out.mockRestore();
    err.mockRestore();
  }
}

/** Returns the JSON document of a run as a child process. */
export async function json<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  return documentOf(await pagewright([...args, "--json"], options)) as T;
}

/** Returns the JSON document of a run in this process. */
export async function jsonHere<T>(args: readonly string[]): Promise<T> {
  return documentOf(await here([...args, "--json"])) as T;
}

function documentOf({ code, stdout, stderr }: Run): unknown {
  if (stdout === "") throw new Error(`exit code ${String(code)}: ${stderr}`);
  return JSON.parse(stdout) as unknown;
}
