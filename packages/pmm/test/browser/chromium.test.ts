/** The allocator in a real browser: headless Chromium, cross-origin isolated, a page and three workers on one SharedArrayBuffer. */
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";

import type { Report } from "./pmm.page.ts";

const CHROMIUM = process.env["PAGEWRIGHT_CHROMIUM"] ?? "/usr/bin/chromium";
const PAGE = `<!doctype html><script type="module" src="/script.js"></script>`;

async function bundle(): Promise<string> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("pmm.page.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
  });
  return result.outputFiles[0]?.text ?? "";
}

async function serve(script: string): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    const isScript = request.url === "/script.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html").end(isScript ? script : PAGE);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test.skipIf(!existsSync(CHROMIUM))(
  `a page and its workers share one allocator, and one of them may die (${CHROMIUM})`,
  async () => {
    const server = await serve(await bundle());
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      await page.goto(server.url);
      await page.waitForFunction(() => "report" in globalThis);
      const report = await page.evaluate(() => (globalThis as unknown as { report: Promise<Report> }).report);
      expect(report.isolated).toBe(true);
      expect(report.takes).toBeGreaterThan(1000);
      expect(report.taken).toBe(report.frames);
    } finally {
      await browser.close();
      server.close();
    }
  },
);
