import { describe, test } from "vitest";

import { GroupedPolicy } from "../../src/reclaim/grouped-policy.ts";
import { POLICY_SLOTS, replacementPolicySuite } from "../../src/testing/policies.ts";

describe("a grouped policy is a replacement policy", () => {
  for (const each of replacementPolicySuite)
    test(each.name, () => each.run(() => new GroupedPolicy(POLICY_SLOTS, (slot) => slot & 1)));
});
