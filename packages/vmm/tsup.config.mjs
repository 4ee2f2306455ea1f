import { library } from "@pagewright/tooling/tsup";

export default library([
  "src/index.ts",
  "src/x86.ts",
  "src/node.ts",
  "src/browser.ts",
  "src/policies.ts",
  "src/swap.ts",
  "src/pressure.ts",
  "src/testing.ts",
]);
