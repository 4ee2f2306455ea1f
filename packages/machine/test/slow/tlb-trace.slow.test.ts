import { withInputs } from "@pagewright/tooling/inputs";
import { testTraceMisses } from "../tlb-trace.ts";

withInputs("TLB misses of every shared window trace", (dir) => {
  testTraceMisses(dir, () => true);
});
