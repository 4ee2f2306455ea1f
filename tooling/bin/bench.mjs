// `npm run bench [-- PATTERN] [--write]`: every benchmark in a process of its own, one after another.
// A benchmark prints one JSON line a figure; `--write` collects them in benchmarks/results and in docs/numbers.md.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));

/** @param {string} folder @returns {string[]} */
function benchesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".bench.ts") && !name.includes("node_modules"))
    .map((name) => join(folder, name));
}

const write = process.argv.includes("--write");
const pattern = process.argv.slice(2).find((word) => !word.startsWith("--")) ?? "";
const folders = [...readdirSync("packages").map((name) => `packages/${name}/bench`), "benchmarks"];
const files = folders
  .flatMap(benchesIn)
  .filter((file) => file.includes(pattern))
  .sort();

let failed = 0;
for (const file of files) {
  console.log(`\n${file}`);
  const run = spawnSync(
    process.execPath,
    ["--expose-gc", "--conditions=@pagewright/source", "--import", "tsx", file, "--json"],
    { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", maxBuffer: 1 << 28 },
  );
  process.stdout.write(run.stdout);
  if (run.status !== 0) {
    failed++;
    console.log(`failed: ${file}`);
    continue;
  }
  if (!write) continue;
  const figures = run.stdout
    .split("\n")
    .filter((line) => line.startsWith('{"bench"'))
    .map((line) => JSON.parse(line));
  if (figures.length === 0) continue;
  mkdirSync("benchmarks/results", { recursive: true });
  const name = file
    .replace(/^packages\//, "")
    .replace(/\/bench\//, "-")
    .replace(/^benchmarks\//, "")
    .replace(/\.bench\.ts$/, "")
    .replaceAll("/", "-");
  const result = {
    command: `npm run bench -- ${file}`,
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, Node ${process.version}`,
    figures,
  };
  writeFileSync(`benchmarks/results/${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
}

if (write) {
  const blocks = readdirSync("benchmarks/results")
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => {
      const { command, date, machine, figures } = JSON.parse(readFileSync(`benchmarks/results/${name}`, "utf8"));
      const rows = figures.map(
        ({ bench, metric, value, unit, ratio, ratioTo }) =>
          `| ${bench} | ${metric} | ${Number(value.toPrecision(4))} ${unit} | ${ratio === undefined ? "" : `${Number(ratio.toPrecision(3))} × ${ratioTo}`} |`,
      );
      return [
        `\`${command}\`, ${date}, ${machine}`,
        "",
        "| benchmark | metric | value | beside |",
        "| --- | --- | --: | --- |",
        ...rows,
      ].join("\n");
    });
  const text = readFileSync("docs/numbers.md", "utf8");
  writeFileSync(
    "docs/numbers.md",
    text.replace(
      /(<!-- benchmarks:start -->\n)[^]*?(<!-- benchmarks:end -->)/,
      (_, start, end) => `${start}\n${blocks.join("\n\n")}\n\n${end}`,
    ),
  );
}
process.exit(failed === 0 ? 0 : 1);
