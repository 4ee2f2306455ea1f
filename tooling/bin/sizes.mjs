// Bundles each entry of tooling/budgets.json as a user's bundler would, and prints minified and gzip'd sizes.
// `--check` fails where a budget (`max`) is exceeded; `--write` puts the table into docs/numbers.md.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
const budgets = JSON.parse(readFileSync(new URL("../budgets.json", import.meta.url), "utf8"));
const rows = [];
let over = false;
for (const { name, from, import: names, max } of budgets) {
  const contents =
    names === "*"
      ? `export * from ${JSON.stringify(from)};`
      : `export { ${names.join(", ")} } from ${JSON.stringify(from)};`;
  const result = await build({
    stdin: { contents, resolveDir: `${root}/benchmarks`, sourcefile: "entry.ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2023",
    platform: "neutral",
    conditions: ["@pagewright/source"],
    external: ["node:*"],
    logLevel: "error",
  });
  const bytes = result.outputFiles[0].contents;
  const zipped = gzipSync(bytes, { level: 9 }).length;
  const tooBig = max !== undefined && zipped > max;
  over ||= tooBig;
  let note = "";
  if (max !== undefined) note = `${max}${tooBig ? " **exceeded**" : ""}`;
  rows.push(`| ${name} | ${bytes.length} | ${zipped} | ${note} |`);
}
const table = ["| import | minified | min + gzip | budget |", "| --- | --: | --: | --: |", ...rows].join("\n");
if (process.argv.includes("--write")) {
  const file = `${root}/docs/numbers.md`;
  const text = readFileSync(file, "utf8");
  writeFileSync(
    file,
    text.replace(
      /(<!-- sizes:start -->\n)[^]*?(<!-- sizes:end -->)/,
      (_, start, end) => `${start}\n${table}\n\n${end}`,
    ),
  );
}
if (!process.argv.includes("--check") || over) console.log(table);
process.exit(process.argv.includes("--check") && over ? 1 : 0);
