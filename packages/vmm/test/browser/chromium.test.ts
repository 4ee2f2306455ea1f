/** The browser stores in a real browser: headless Chromium, cross-origin isolated, the bundle made by esbuild. */
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";

const CHROMIUM = process.env["PAGEWRIGHT_CHROMIUM"] ?? "/usr/bin/chromium";
const PAGE = `<!doctype html><script>
  const worker = new Worker("/worker.js", { type: "module" });
  window.report = new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
</script>`;
const DATA = Uint8Array.from({ length: 10_000 }, (_, at) => at % 251);

async function bundle(): Promise<string> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("opfs.page.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    conditions: ["@pagewright/source"],
  });
  return result.outputFiles[0]?.text ?? "";
}

async function serve(script: string): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("etag", '"data"');
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (request.url === "/data" && range !== null) {
      const [start, end] = [Number(range[1]), Number(range[2]) + 1];
      response.writeHead(206, { "content-range": `bytes ${start}-${end - 1}/${DATA.length}` });
      response.end(DATA.subarray(start, end));
    } else if (request.url === "/worker.js") response.setHeader("content-type", "text/javascript").end(script);
    else response.setHeader("content-type", "text/html").end(PAGE);
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

/** What the worker in the page posts. */
interface Report {
  readonly claims: number;
  readonly failures: readonly string[];
}

test.skipIf(!existsSync(CHROMIUM))(
  `the stores hold over a real origin-private file, Blob and fetch (${CHROMIUM})`,
  async () => {
    const server = await serve(await bundle());
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      await page.goto(server.url);
      const report = await page.evaluate(() => (globalThis as unknown as { report: Promise<Report> }).report);
      expect(report.failures).toEqual([]);
      expect(report.claims).toBeGreaterThan(60);
    } finally {
      await browser.close();
      server.close();
    }
  },
);
