import { library } from "@pagewright/tooling/tsup";

export default library(["src/index.ts"]);
