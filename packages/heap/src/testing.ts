/** Conformance suites: what a correct implementation of each of this package's interfaces does. They throw plain errors and need no test runner. @module */
export { allocatorSuite, useAtRandom } from "./testing/allocator-suite.ts";
export type { AllocatorFixture } from "./testing/allocator-suite.ts";
export { rangeSourceSuite, blockMemorySuite } from "./testing/source-suite.ts";
export { countingWords } from "./testing/counting-words.ts";
export type { CountedWords } from "./testing/counting-words.ts";
export type { ConformanceCase } from "./testing/case.ts";
