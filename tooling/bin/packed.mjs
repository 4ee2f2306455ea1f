// Packs every public package, as built (`npm pack` by hand builds first), and holds the tarball against publint and attw, then installs all of them in an empty folder
// and imports every entry point with plain Node.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

const folder = mkdtempSync(join(tmpdir(), "pagewright-packed-"));
const problems = [];

/** @param {string} program @param {string[]} args @param {string} [cwd] */
function run(program, args, cwd = process.cwd()) {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
  });
}

try {
  const tarballs = [];
  const imports = [];
  for (const name of readdirSync("packages")) {
    const manifest = JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8"));
    const packed = JSON.parse(
      run("npm", [
        "pack",
        "--json",
        "--ignore-scripts",
        "--pack-destination",
        folder,
        "-w",
        manifest.name,
        "--loglevel=error",
      ]),
    );
    const tarball = join(folder, (Array.isArray(packed) ? packed[0] : Object.values(packed)[0]).filename);
    tarballs.push(tarball);
    const { messages, pkg } = await publint({
      strict: true,
      pack: { tarball: new Uint8Array(readFileSync(tarball)).buffer },
    });
    for (const message of messages) {
      problems.push(`${manifest.name}: ${formatMessage(message, pkg)}`);
    }
    try {
      run("npx", ["--no-install", "attw", tarball, "--profile", "esm-only", "--format", "ascii", "--no-emoji"]);
    } catch (error) {
      problems.push(`${manifest.name}: attw\n${error.stdout}${error.stderr}`);
    }
    for (const path of Object.keys(manifest.exports)) {
      // `./browser` may touch what only browsers have.
      if (path === "./package.json" || path === "./browser") continue;
      imports.push(manifest.name + path.slice(1));
    }
  }
  const consumer = join(folder, "consumer");
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ private: true, type: "module" }));
  run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", ...tarballs], consumer);
  writeFileSync(
    join(consumer, "main.mjs"),
    imports
      .map(
        (name, index) =>
          `import * as m${index} from ${JSON.stringify(name)};\nif (Object.keys(m${index}).length === 0) throw new Error(${JSON.stringify(`${name} exports nothing`)});`,
      )
      .join("\n"),
  );
  try {
    run(process.execPath, ["main.mjs"], consumer);
  } catch (error) {
    problems.push(`the installed tarballs do not import:\n${error.stderr}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
