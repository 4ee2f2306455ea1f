import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, test } from "vitest";

interface Block {
  readonly line: number;
  readonly code: string;
}

/** The ```ts blocks of a markdown text, each with the line it starts on. */
function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split("\n");
  let start = -1;
  for (const [index, line] of lines.entries()) {
    if (start < 0 && /^```(ts|typescript)\s*$/.test(line)) start = index + 1;
    else if (start >= 0 && line.startsWith("```")) {
      blocks.push({ line: start + 1, code: lines.slice(start, index).join("\n") });
      start = -1;
    }
  }
  return blocks;
}

const CLAIM = /^(\s*)(.*?);\s*\/\/=>\s*(.*)$/;

/** Turns `expression; //=> value` and `const x = expression; //=> value` into assertions; other lines stay. */
function assertClaims(code: string): { code: string; claims: number } {
  let claims = 0;
  const out = code.split("\n").map((line) => {
    const match = CLAIM.exec(line);
    if (match === null) return line;
    claims++;
    const statement = match[2] ?? "";
    const expected = match[3] ?? "";
    const declared = /^(?:const|let)\s+(\w+)\s*(?::[^=]+)?=/.exec(statement);
    if (declared !== null)
      return `${statement}; __claim(${declared[1] ?? ""}, (${expected}), ${JSON.stringify(line)});`;
    return `__claim((${statement.trim()}), (${expected}), ${JSON.stringify(line)});`;
  });
  return { code: out.join("\n"), claims };
}

/**
 * Runs every ```ts block of a README as a module of its own and asserts its `//=>` comments by deep equality. A README
 * whose blocks claim nothing fails.
 *
 * @param importer `import.meta.url` of the test
 * @param readme the README, relative to the test
 */
export function testReadme(importer: string, readme: string): void {
  const file = fileURLToPath(new URL(readme, importer));
  const blocks = blocksOf(readFileSync(file, "utf8"));
  describe("README blocks run and say the truth", () => {
    let claims = 0;
    for (const block of blocks) {
      test(`block at line ${String(block.line)}`, async () => {
        const asserted = assertClaims(block.code);
        claims += asserted.claims;
        const path = fileURLToPath(new URL(`./.readme-${String(process.pid)}-${String(block.line)}.ts`, importer));
        writeFileSync(
          path,
          `import { expect as __expect } from "vitest";\n`
            + `const __claim = (got: unknown, want: unknown, line: string): void => __expect(got, line).toEqual(want);\n`
            + asserted.code,
        );
        try {
          await import(path);
        } finally {
          rmSync(path);
        }
      });
    }
    test("there is at least one claim", () => {
      expect(claims).toBeGreaterThan(0);
    });
  });
}
