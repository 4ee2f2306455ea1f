import { testReadme } from "@pagewright/tooling/readme";

testReadme(import.meta.url, "../README.md");
