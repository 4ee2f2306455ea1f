import { testEveryMap } from "../mtrr-exhaustive.ts";

testEveryMap([
  [8, "UC", ["WB"], ["WB", "UC"]],
  [8, "UC", ["WB", "UC"], ["WB", "UC"]],
  [8, "WB", ["UC"], ["WB", "UC"]],
  [4, "UC", ["WB", "UC", "WC"], ["WB", "UC", "WC"]],
  [4, "WB", ["UC", "WC", "WT"], ["WB", "UC", "WC", "WT"]],
  [4, "UC", ["WB", "WT", "UC"], ["WB", "UC", "WT"]],
]);
