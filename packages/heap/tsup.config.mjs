import { library } from "@pagewright/tooling/tsup";

export default library(["src/index.ts", "src/node.ts", "src/testing.ts"]);
