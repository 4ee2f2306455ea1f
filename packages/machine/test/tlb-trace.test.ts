import { withInputs } from "@pagewright/tooling/inputs";
import { testTraceMisses } from "./tlb-trace.ts";

withInputs("TLB misses of two shared window traces (all of them: npm run slow)", (dir) => {
  testTraceMisses(dir, (name) => name === "grep-tree.window" || name === "sort-text.window");
});
