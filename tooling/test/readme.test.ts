import { testReadme } from "../src/readme.ts";

testReadme(import.meta.url, "../../README.md");
