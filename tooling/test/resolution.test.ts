import { readFileSync, readdirSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("workspace packages resolve to their sources, so tests need no build", () => {
  const names = ["x86-paging", "machine", "pmm", "vmm", "heap", "stack"].map((name) => `@pagewright/${name}`);
  const script = `for (const name of ${JSON.stringify(names)}) console.log(import.meta.resolve(name));`;
  const resolved = execFileSync(
    process.execPath,
    ["--conditions=@pagewright/source", "--input-type=module", "--eval", script],
    { cwd: `${root}/benchmarks`, encoding: "utf8" },
  );
  for (const line of resolved.trim().split("\n")) expect(line).toMatch(/\/src\/index\.ts$/);
});

test("the five libraries have no run-time dependency outside this repository", () => {
  for (const name of ["x86-paging", "machine", "pmm", "vmm", "heap"]) {
    const manifest = JSON.parse(readFileSync(`${root}/packages/${name}/package.json`, "utf8")) as {
      dependencies?: Record<string, string>;
    };
    for (const dependency of Object.keys(manifest.dependencies ?? {})) expect(dependency).toMatch(/^@pagewright\//);
  }
});

test("every package has its pages, its licence, its ports and its errors where they belong", () => {
  for (const name of readdirSync(`${root}/packages`)) {
    const files = readdirSync(`${root}/packages/${name}`);
    for (const page of ["README.md", "DESIGN.md", "LICENSE"]) expect(files, name).toContain(page);
  }
});
