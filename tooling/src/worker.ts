import { Worker } from "node:worker_threads";

/**
 * Starts a real worker thread whose module is TypeScript, with workspace packages resolved to their sources.
 *
 * @param module the worker's module
 * @param workerData what the worker finds in `workerData`
 */
export function spawnTs(module: URL, workerData?: unknown): Worker {
  return new Worker(module, {
    workerData,
    execArgv: ["--import", new URL("./register.mjs", import.meta.url).href, "--conditions=@pagewright/source"],
  });
}
