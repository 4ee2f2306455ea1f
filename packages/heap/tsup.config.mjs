import { library } from "@pagewright/tooling/tsup";

export default library([
  "src/index.ts",
  "src/node.ts",
  "src/testing.ts",
  "src/arena.ts",
  "src/tlsf.ts",
  "src/general.ts",
  "src/trace.ts",
  "src/memory.ts",
  "src/pool.ts",
  "src/buddy.ts",
  "src/offset.ts",
  "src/debug.ts",
  "src/guard.ts",
  "src/profiler.ts",
  "src/quota.ts",
  "src/statistics.ts",
  "src/tracer.ts",
  "src/shared.ts",
]);
