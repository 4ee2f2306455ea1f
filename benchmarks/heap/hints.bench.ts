/**
 * What hints are worth: every shared allocation trace without hints, with the lifetimes that the trace knows (an oracle that no program has), and with a
 * pool for each type (for each of the frequent sizes, which is what a trace knows of types). Run with the folder of the traces:
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/heap/hints.bench.ts FOLDER [--json]
 */
import { fileURLToPath } from "node:url";
import { compareVariants } from "./variants.ts";

const pools = fileURLToPath(new URL("./hinted/type-pools.ts", import.meta.url));
compareVariants("heap/hints", {
  "general, no hints": ["--allocator", "general"],
  "general, lifetimes": ["--allocator", "general", "--hints", "lifetime"],
  "a pool for each type": ["--allocator", pools, "--hints", "type"],
});
