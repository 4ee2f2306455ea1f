import { testExample } from "@pagewright/tooling/example";

testExample(import.meta.url);
