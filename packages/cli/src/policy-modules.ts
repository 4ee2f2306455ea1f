/**
 * Replacement policies as the user names them: one that is built in, or a module of the user's own, of which every mistake becomes
 * one line that names the module.
 */
import { policies } from "@pagewright/vmm/policies";
import type { PolicyFactory, SimulatedPolicy } from "@pagewright/vmm/policies";
import { complaintOf, UsageError } from "./output.ts";
import { defaultFunctionOf, isPath } from "./user-module.ts";

/** What a module's policy has to have. */
const METHODS = ["insert", "accessed", "evict"] as const;

/** Returns whether the word is the name of a policy that is built in, in any case. */
export function isBuiltInPolicy(word: string): boolean {
  return Object.hasOwn(policies, word.toLowerCase());
}

/**
 * Returns what makes the policy that a word names: a built-in one, or the default export of the module at a path.
 *
 * @param option - The option that the word was given to, as complaints name it.
 * @throws {@link UsageError} if the word is neither a name nor a path, or the module cannot be imported or exports no function.
 */
export async function policyFactoryOf(option: string, word: string): Promise<PolicyFactory> {
  const builtIn = isBuiltInPolicy(word) ? policies[word.toLowerCase()] : undefined;
  if (builtIn !== undefined) return builtIn;
  if (isPath(word)) return importFactory(word);
  throw new UsageError(`${option} ${word}: not one of ${Object.keys(policies).join(", ")}, nor a path`);
}

/** Runs code that a user may have written: what it throws becomes one line that names it. */
export function runUserPolicy<T>(name: string, code: () => T): T {
  try {
    return code();
  } catch (error) {
    throw new UsageError(`policy ${name}: ${complaintOf(error)}`);
  }
}

async function importFactory(path: string): Promise<PolicyFactory> {
  const factory = await defaultFunctionOf(path, "a policy");
  return (setting) => {
    const policy = runUserPolicy(path, () => factory(setting));
    for (const method of METHODS)
      if (typeof (policy as Record<string, unknown> | null | undefined)?.[method] !== "function")
        throw new UsageError(`${path}: the policy that it makes has no method ${method}`);
    return policy as SimulatedPolicy;
  };
}
