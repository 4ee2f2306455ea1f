/** `@pagewright/vmm/testing`: what a correct implementation of each port does, as suites that need no test runner. */
export { claim, type ConformanceCase } from "./testing/case.ts";
export type { TablesFixture } from "./testing/tables-fixture.ts";
export { translationTablesSuite } from "./testing/translation-tables.ts";
export { tableStructureSuite } from "./testing/table-structure.ts";
export { largeLeavesSuite } from "./testing/large-leaves.ts";
export {
  asyncBackingStoreSuite,
  asyncSwapStoreSuite,
  backingStoreSuite,
  swapStoreSuite,
  type AsyncBackingFixture,
} from "./testing/stores.ts";
export { frameSourceSuite, frameWindowSuite, type WindowFixture } from "./testing/frames.ts";
export { POLICY_FRAMES, POLICY_SLOTS, compressorSuite, replacementPolicySuite } from "./testing/policies.ts";
export { tlbControlSuite, type TlbFixture } from "./testing/translation-control.ts";
export { clockSuite, randomSuite } from "./testing/environment.ts";
export { memoryTypesSuite, type MemoryTypesFixture } from "./testing/memory-types.ts";
