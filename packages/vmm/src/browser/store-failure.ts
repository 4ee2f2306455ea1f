/**
 * Why an asynchronous store rejects. A rejected transfer is the store's failure, not the caller's bug; it travels as a `VmmError`
 * so that one `catch` recognises it, and its code says whether asking again can help.
 */
import { VmmError, isVmmError, type VmmErrorCode } from "../errors.ts";

/** The codes with which an asynchronous store rejects. */
export type StoreFailureCode = Extract<VmmErrorCode, `store-${string}`>;

/** Whether a rejection came from a store: `store-unreachable` may pass when asked again later, the other codes stay. */
export function isStoreFailure(value: unknown): value is VmmError & { readonly code: StoreFailureCode } {
  return isVmmError(value) && value.code.startsWith("store-");
}

/** The error with which a store rejects. */
export function storeFailure(
  code: StoreFailureCode,
  sentence: string,
  facts: Readonly<Record<string, number | string | boolean>> = {},
): VmmError {
  return new VmmError(code, sentence, facts);
}

/** What a thrown value says of itself. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}
