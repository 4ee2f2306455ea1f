import { testEveryMap } from "./mtrr-exhaustive.ts";

testEveryMap([
  [4, "UC", ["WB"], ["WB", "UC"]],
  [4, "UC", ["WB", "UC"], ["WB", "UC"]],
  [4, "WB", ["UC"], ["WB", "UC"]],
  [2, "UC", ["WB", "UC", "WC"], ["WB", "UC", "WC"]],
  [2, "WB", ["UC", "WC", "WT"], ["WB", "UC", "WC", "WT"]],
]);
