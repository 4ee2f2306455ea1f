import { fileURLToPath } from "node:url";

import { defineConfig, type ViteUserConfig } from "vitest/config";

const conditions = ["@pagewright/source"];

/** `npm run slow` sets this: the slow suites run instead of the quick ones. */
const slow = process.env["PAGEWRIGHT_SLOW"] === "1";

const config: ViteUserConfig = defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: slow
      ? ["packages/*/test/slow/**/*.slow.test.ts"]
      : ["packages/*/test/**/*.test.ts", "examples/*/*.test.ts", "tooling/test/**/*.test.ts"],
    exclude: slow ? ["**/node_modules/**"] : ["**/node_modules/**", "**/dist/**", "packages/*/test/slow/**"],
    testTimeout: slow ? 1_800_000 : 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    pool: "forks",
  },
});

export default config;
