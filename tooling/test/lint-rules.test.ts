import { fileURLToPath } from "node:url";

import { ESLint } from "eslint";
import { expect, test } from "vitest";

// Otherwise typescript-eslint on a CI machine would look at the files as they are on disk, not at the code given.
process.env["TSESTREE_SINGLE_RUN"] = "false";

const root = fileURLToPath(new URL("../..", import.meta.url));
const eslint = new ESLint({ cwd: root });

/** The rules that reject `code` as if it stood in `file`, an existing file of the project. */
async function rulesAgainst(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}/${file}` });
  return (result?.messages ?? []).map((message) => message.ruleId ?? message.message);
}

test("a core package may not import a sibling or node:, and nobody reaches into a src folder", async () => {
  const pmm = "packages/pmm/src/index.ts";
  expect(await rulesAgainst(pmm, `import "@pagewright/vmm";\n`)).toContain("no-restricted-imports");
  expect(await rulesAgainst(pmm, `import "node:fs";\n`)).toContain("no-restricted-imports");
  expect(await rulesAgainst("packages/pmm/src/node.ts", `import "node:fs";\n`)).not.toContain("no-restricted-imports");
  expect(await rulesAgainst("packages/vmm/src/index.ts", `import "@pagewright/x86-paging";\n`)).toContain(
    "no-restricted-imports",
  );
  expect(await rulesAgainst("packages/vmm/src/x86.ts", `import "@pagewright/x86-paging";\n`)).not.toContain(
    "no-restricted-imports",
  );
  for (const path of ["../../pmm/src/index.ts", "../../../packages/pmm/src/index.ts", "@pagewright/pmm/src/index.ts"])
    expect(await rulesAgainst("packages/stack/src/index.ts", `import "${path}";\n`)).toContain("no-restricted-imports");
});

test("`!` stands only directly on a typed-array read", async () => {
  const rule = "pagewright/bang-only-on-typed-array-reads";
  const file = "packages/pmm/src/index.ts";
  expect(await rulesAgainst(file, `const a = [1];\nconsole.log(a[0]!);\n`)).toContain(rule);
  expect(await rulesAgainst(file, `const a = new Uint32Array(1);\nconsole.log(a[0]!);\n`)).not.toContain(rule);
});

test("32-bit and remainder operators are refused on addresses, by flavour and by name", async () => {
  const rule = "pagewright/no-lossy-address-arithmetic";
  const file = "packages/pmm/src/index.ts";
  const flavour = `type VirtAddr = number & { readonly __unit?: "VirtAddr" };\n`;
  for (const operator of ["%", "<<", ">>", "|", "^"])
    expect(
      await rulesAgainst(file, `${flavour}declare const x: VirtAddr;\nconsole.log(x ${operator} 12);\n`),
    ).toContain(rule);
  expect(await rulesAgainst(file, `declare const pfn: number;\nconsole.log(pfn << 12);\n`)).toContain(rule);
  expect(
    await rulesAgainst(file, `${flavour}declare const x: VirtAddr;\nconsole.log(x >>> 0, x & 4095);\n`),
  ).not.toContain(rule);
});

test("an export without a doc comment is refused", async () => {
  expect(
    await rulesAgainst("packages/pmm/src/index.ts", `export function take(): number {\n  return 1;\n}\n`),
  ).toContain("jsdoc/require-jsdoc");
  expect(
    await rulesAgainst(
      "packages/pmm/src/index.ts",
      `/** Takes. */\nexport function take(): number {\n  return 1;\n}\n`,
    ),
  ).toEqual([]);
});
