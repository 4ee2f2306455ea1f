import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";
import { test } from "vitest";

const CHROMIUM = process.env["PAGEWRIGHT_CHROMIUM"] ?? "/usr/bin/chromium";

/** What a page is and what its server knows. */
export interface PageOptions {
  /** The document; it finds the bundle at `/script.js` and leaves a promise of its report in `globalThis.report`. */
  readonly html: string;
  /** Answers a request that is not for document or bundle; false: gives the document. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/**
 * Registers a test in headless Chromium: bundles a module with workspace packages from source, opens the document on a cross-origin isolated server (so that there is
 * shared memory), and hands what it reports to `look`. Skipped by name where Chromium is not installed; `PAGEWRIGHT_CHROMIUM` says where it is.
 *
 * @param entry the module
 * @param look throws where the report is not as it should be
 */
export function testInChromium(name: string, entry: URL, options: PageOptions, look: (report: unknown) => void): void {
  test.skipIf(!existsSync(CHROMIUM))(
    `${name} (${CHROMIUM})`,
    async () => {
      const server = await serve(await bundle(entry), options);
      const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
      try {
        const page = await browser.newPage();
        await page.goto(server.url);
        await page.waitForFunction(() => "report" in globalThis);
        look(await page.evaluate(() => (globalThis as unknown as { report: Promise<unknown> }).report));
      } finally {
        await browser.close();
        server.close();
      }
    },
    120_000,
  );
}

async function bundle(entry: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(entry)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    conditions: ["@pagewright/source"],
  });
  return outputFiles[0]?.text ?? "";
}

async function serve(script: string, { html, answer }: PageOptions): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    if (request.url === "/script.js") response.setHeader("content-type", "text/javascript").end(script);
    else if (answer?.(request, response) !== true) response.setHeader("content-type", "text/html").end(html);
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
