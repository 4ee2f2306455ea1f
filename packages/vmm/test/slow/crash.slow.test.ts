import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

const PAGE = 4096;
const PAGES = 64;

/** Runs the writer, kills it some milliseconds after its first acknowledgement; the last version that it acknowledged. */
async function killedWriter(path: string, milliseconds: number): Promise<number> {
  const script = fileURLToPath(new URL("crash-child.ts", import.meta.url));
  const child = spawn(process.execPath, [
    "--conditions=@pagewright/source",
    "--import",
    "tsx",
    script,
    path,
    String(PAGES),
  ]);
  let said = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (said === "") setTimeout(() => child.kill("SIGKILL"), milliseconds);
    said += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  await new Promise((resolve) => child.on("close", resolve));
  const versions = said.split("\n").slice(0, -1).map(Number);
  const last = versions[versions.length - 1];
  if (last === undefined) throw new Error(`nothing was acknowledged: ${errors}`);
  return last;
}

test("a writer that is killed at any point leaves what it acknowledged, and no torn page", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vmm-crash-"));
  try {
    for (let kill = 0; kill < 12; kill++) {
      const path = join(folder, `file${kill}`);
      writeFileSync(path, new Uint8Array(PAGES * PAGE));
      const acknowledged = await killedWriter(path, kill * 3);
      const content = readFileSync(path);
      expect(content.length).toBe(PAGES * PAGE);
      for (let page = 0; page < PAGES; page++) {
        const first = content.readUInt32LE(page * PAGE);
        const last = content.readUInt32LE(page * PAGE + PAGE - 4);
        // Between two syncs a page may have been written when one of its two stores was done: each is old or new, and none is lost.
        for (const version of [first, last]) {
          expect(version).toBeGreaterThanOrEqual(acknowledged);
          expect(version).toBeLessThanOrEqual(acknowledged + 2);
        }
        expect(first - last).toBeGreaterThanOrEqual(0);
        expect(first - last).toBeLessThanOrEqual(1);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
