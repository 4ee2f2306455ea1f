/** Swap tiers by name, as the user asks for them. */
import { join } from "node:path";
import type { AsyncSwapStore, SwapPriority, SwapStore } from "@pagewright/vmm";
import { FileSwap } from "@pagewright/vmm/node";
import { complaintOf, UsageError } from "../output.ts";
import { defaultFunctionOf, isPath } from "../user-module.ts";

/** Memory that holds pages compressed, in front of the next tier: a file where none is named. */
const COMPRESSED = "compressed";
/** The same with nothing behind it: memory may run out. */
const COMPRESSED_ONLY = "compressed-only";
/** A file in a folder. */
const FILE = "file";

/** Between tiers of equal priority: before another file or path. A path may have one in its names. */
const STRIPED = /\+(?=file(?:\+|$)|\.{0,2}[/\\])/;

/** Most slots that the manager can name in one store. */
const MOST_SLOTS = 2 ** 27;

/** What a user's module is asked to make a store for. */
export interface SwapStoreSetting {
  /** Pages that may have to be stored at once. */
  readonly slots: number;
  /** A folder that does not outlive the run. */
  readonly folder: string;
}

/** A user's store: synchronous or not, and perhaps with something to close. */
type UserStore = (SwapStore | AsyncSwapStore) & { close?(): void | Promise<void> };

/** Stores in order of preference, and how to learn that one of them failed. */
export interface SwapTiers {
  /** The tiers in use. */
  readonly names: readonly string[];
  /** Whether compressed memory is the first tier. */
  readonly compressed: boolean;
  /** The stores behind it. */
  readonly stores: readonly SwapPriority[];
  /** What a user's store threw first, or a swap file's disk last complained about, in words; null if neither happened. */
  failure(): string | null;
  /** Gives back what the stores have open. */
  close(): Promise<void>;
}

/**
 * Makes the tiers that the user named.
 *
 * @param words - `compressed` or `compressed-only` first or not at all; `file` for a file in the folder; the path of a module whose default export
 * makes a store; or several of the latter two, with `+` between them, among which pages are striped.
 * @throws {@link UsageError} for an unknown tier, a module that cannot be used, or a file that cannot be made.
 */
export async function swapTiersOf(words: readonly string[], setting: SwapStoreSetting): Promise<SwapTiers> {
  if (words.length === 0) throw new UsageError("--swap: no tier named");
  const compressed = words[0] === COMPRESSED || words[0] === COMPRESSED_ONLY;
  const named = compressed ? words.slice(1) : words;
  if (words[0] === COMPRESSED_ONLY && named.length > 0)
    throw new UsageError(`--swap ${words.join(",")}: nothing comes behind ${COMPRESSED_ONLY}`);
  const behind = words[0] === COMPRESSED && named.length === 0 ? [FILE] : named;
  const striped = behind.map((word) => word.split(STRIPED));
  for (const word of striped.flat()) demandTier(words, word);
  const files: FileSwap[] = [];
  const users: { readonly path: string; readonly store: UserStore }[] = [];
  const stores: SwapPriority[] = [];
  let complaint: string | null = null;
  const complain = (words: string): void => {
    complaint ??= words;
  };
  for (const stripe of striped) {
    const equals: (SwapStore | AsyncSwapStore)[] = [];
    for (const word of stripe)
      if (word === FILE)
        equals.push(added(files, fileSwap(join(setting.folder, `swap-${files.length}`), setting.slots)));
      else equals.push(added(users, { path: word, store: await userStore(word, setting, complain) }).store);
    stores.push(equals);
  }
  return {
    names: compressed ? [COMPRESSED, ...behind] : behind,
    compressed,
    stores,
    failure: () => {
      if (complaint !== null) return complaint;
      const failed = files.find((file) => file.lastError !== null);
      return failed === undefined ? null : `the swap file ${failed.path}: ${complaintOf(failed.lastError)}`;
    },
    close: async () => {
      for (const file of files) file.close();
      for (const { path, store } of users) await inWords(path, () => store.close?.());
    },
  };
}

function demandTier(words: readonly string[], word: string): void {
  if (word === COMPRESSED || word === COMPRESSED_ONLY)
    throw new UsageError(`--swap ${words.join(",")}: ${word} is the first tier, or none`);
  if (word !== FILE && !isPath(word))
    throw new UsageError(
      `--swap ${word}: not a swap tier; there are: ${COMPRESSED}, ${COMPRESSED_ONLY}, ${FILE}, and paths of modules`,
    );
}

function added<T>(list: T[], item: T): T {
  list.push(item);
  return item;
}

function fileSwap(path: string, slots: number): FileSwap {
  try {
    return new FileSwap(path, Math.max(1, slots));
  } catch (error) {
    throw new UsageError(`cannot make the swap file: ${complaintOf(error)}`);
  }
}

async function userStore(
  path: string,
  setting: SwapStoreSetting,
  complain: (words: string) => void,
): Promise<UserStore> {
  const make = await defaultFunctionOf(path, "a swap store");
  const store = await inWords(path, () => make(setting));
  if (!isStore(store))
    throw new UsageError(
      `${path}: what it makes has no number of slots from 0 to ${MOST_SLOTS}, or neither write and read nor writeLater and readLater`,
    );
  return watched(path, store, complain);
}

/** A user's store. The manager goes on without one that throws, as well as it can; `complain` is told. */
function watched(path: string, store: UserStore, complain: (words: string) => void): UserStore {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        try {
          return Reflect.apply(value, target, args);
        } catch (error) {
          complain(`${path}: ${complaintOf(error)}`);
          throw error;
        }
      };
    },
  });
}

/** Runs what a user's module does: what it throws becomes one line that names it. */
async function inWords<T>(path: string, work: () => T): Promise<Awaited<T>> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}: ${complaintOf(error)}`);
  }
}

function isStore(value: unknown): value is UserStore {
  if (typeof value !== "object" || value === null) return false;
  const store = value as Record<string, unknown>;
  const has = (...names: string[]): boolean => names.every((name) => typeof store[name] === "function");
  const slots = store["slots"];
  const named = typeof slots === "number" && Number.isInteger(slots) && slots >= 0 && slots <= MOST_SLOTS;
  return named && (has("write", "read") || has("writeLater", "readLater"));
}
