/** The browser stores in a real browser: headless Chromium, cross-origin isolated, in a worker of the page. */
import { testInChromium } from "@pagewright/tooling/chromium";
import { expect } from "vitest";

const HTML = `<!doctype html><script>
  const worker = new Worker("/script.js", { type: "module" });
  window.report = new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
</script>`;
const DATA = Uint8Array.from({ length: 10_000 }, (_, at) => at % 251);

/** What the worker in the page posts. */
interface Report {
  readonly claims: number;
  readonly failures: readonly string[];
}

testInChromium(
  "the stores hold over a real origin-private file, Blob and fetch",
  new URL("opfs.page.ts", import.meta.url),
  {
    html: HTML,
    answer: (request, response) => {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (request.url !== "/data" || range === null) return false;
      const [start, end] = [Number(range[1]), Number(range[2]) + 1];
      response.writeHead(206, { etag: '"data"', "content-range": `bytes ${start}-${end - 1}/${DATA.length}` });
      response.end(DATA.subarray(start, end));
      return true;
    },
  },
  (seen) => {
    const report = seen as Report;
    expect(report.failures).toEqual([]);
    expect(report.claims).toBeGreaterThan(60);
  },
);
