import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testExample } from "@pagewright/tooling/example";
import { afterAll, expect } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "pagewright-profile-"));
const file = join(folder, "heap.pb.gz");
testExample(import.meta.url, [file]);
afterAll(() => {
  expect(existsSync(file)).toBe(true);
  rmSync(folder, { recursive: true });
});
