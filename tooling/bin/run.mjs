// Runs commands quietly: one progress line a step, their output only when they fail.
import { spawn } from "node:child_process";

const live = process.stderr.isTTY;

/**
 * @typedef {object} Outcome
 * @property {string} name
 * @property {boolean} ok
 * @property {string} output
 */

/**
 * Runs one command to its end.
 *
 * @param {string} name what the step is called
 * @param {string[]} command the program and its arguments; `node_modules/.bin` is on the path
 * @param {Record<string, string>} [env] more environment
 * @returns {Promise<Outcome>}
 */
export function step(name, command, env = {}) {
  const started = Date.now();
  const [program = "", ...args] = command;
  process.stderr.write(`· ${name} …\n`);
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      shell: process.platform === "win32",
      env: {
        ...process.env,
        TURBO_TELEMETRY_DISABLED: "1",
        TURBO_NO_UPDATE_NOTIFIER: "1",
        DO_NOT_TRACK: "1",
        NO_UPDATE_NOTIFIER: "1",
        ...(live ? {} : { NO_COLOR: "1" }),
        ...env,
      },
    });
    let output = "";
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (output += data));
    child.on("error", (error) => (output += String(error)));
    child.on("close", (code) => {
      const ok = code === 0;
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      process.stderr.write(`${ok ? "✓" : "✗"} ${name} (${seconds} s)\n`);
      if (!ok) process.stderr.write(`${output.trimEnd()}\n`);
      resolve({ name, ok, output });
    });
  });
}
