/** The allocator in a real browser: headless Chromium, cross-origin isolated, a page and three workers on one SharedArrayBuffer. */
import { testInChromium } from "@pagewright/tooling/chromium";
import { expect } from "vitest";

import type { Report } from "./pmm.page.ts";

testInChromium(
  "a page and its workers share one allocator, and one of them may die",
  new URL("pmm.page.ts", import.meta.url),
  { html: `<!doctype html><script type="module" src="/script.js"></script>` },
  (seen) => {
    const report = seen as Report;
    expect(report.isolated).toBe(true);
    expect(report.takes).toBeGreaterThan(1000);
    expect(report.taken).toBe(report.frames);
  },
);
