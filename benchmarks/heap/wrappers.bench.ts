/**
 * What wrappers cost on the general heap, on every shared allocation trace. Run with the folder of the traces:
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/heap/wrappers.bench.ts FOLDER [--json]
 */
import { fileURLToPath } from "node:url";
import { compareVariants } from "./variants.ts";

const wrapped = (name: string): readonly string[] => [
  "--allocator",
  fileURLToPath(new URL(`./wrapped/${name}.ts`, import.meta.url)),
];
compareVariants("heap/wrappers", {
  "general alone": ["--allocator", "general"],
  debug: wrapped("debug"),
  "sampling guard": wrapped("guard"),
  profiler: wrapped("profiler"),
  "profiler, stacks named by the program": wrapped("profiler-sites"),
  statistics: wrapped("statistics"),
  quota: wrapped("quota"),
});
