import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { encodeProfile } from "./pprof.ts";
import type { StackFrame, StackSample } from "./pprof.ts";
import { Wrapper } from "./wrapper.ts";

/** How a sampling profiler samples. */
export interface ProfilerOptions {
  /** Bytes between two samples, on average; 524288 by default. */
  readonly intervalBytes?: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** The caller's stack, the innermost function first; by default taken from an Error's stack. */
  readonly stack?: () => readonly StackFrame[];
}

/** Calls off the stack of an Error, in V8's (`at f (file:1:2)`), JavaScriptCore's and SpiderMonkey's forms (`f@file:1:2`). */
function stackOfError(): StackFrame[] {
  const frames: StackFrame[] = [];
  for (const line of (new Error().stack ?? "").split("\n")) {
    const call =
      /^\s*at (?:async )?(?:(.+?) \()?(.+?):(\d+):\d+\)?$/.exec(line) ?? /^(.*?)@(.+?):(\d+):\d+$/.exec(line);
    if (call === null) continue;
    const [, name = "", file = "", at = "0"] = call;
    if (/^stackOfError$|^Profiler\./.test(name)) continue;
    frames.push({ name: name === "" ? "(top level)" : name, file, line: Number(at) });
  }
  return frames;
}

/** What two calls have in common that are shown as one. */
function keyOf({ name, file = "", line = 0 }: StackFrame): string {
  return `${name}\0${file}\0${line}`;
}

interface Sample {
  readonly stack: StackTotals;
  readonly bytes: number;
  /** How many allocations of this size the sample stands for. */
  readonly weight: number;
}

/** What was allocated through one stack so far. */
interface StackTotals {
  readonly frames: readonly StackFrame[];
  objects: number;
  bytes: number;
}

/**
 * A wrapper that samples: each byte that is allocated is as likely to be hit, so a stack that allocates much is hit often.
 * Between two samples it costs an addition.
 */
export class Profiler extends Wrapper {
  readonly #interval: number;
  readonly #random: () => number;
  readonly #stack: () => readonly StackFrame[];
  readonly #live = new Map<number, Sample>();
  readonly #totals = new Map<string, StackTotals>();
  #left: number;

  constructor(inner: Allocator, options: ProfilerOptions) {
    super(inner);
    this.#interval = options.intervalBytes ?? 524288;
    this.#random = options.random;
    this.#stack = options.stack ?? stackOfError;
    this.#left = this.#distance();
  }

  /** Exponentially distributed: what makes every byte as likely as any other. */
  #distance(): number {
    return -Math.log(1 - this.#random()) * this.#interval;
  }

  #sample(address: number, size: number): number {
    this.#left -= Math.max(size, 1);
    if (this.#left > 0 || address === NO_ADDRESS) return address;
    this.#left = this.#distance();
    const frames = this.#stack();
    const key = frames.map(keyOf).join("\n");
    const stack = this.#totals.get(key) ?? { frames, objects: 0, bytes: 0 };
    this.#totals.set(key, stack);
    const bytes = Math.max(size, 1);
    // A block of this size is hit with probability 1 − e^(−size / interval).
    const weight = 1 / (1 - Math.exp(-bytes / this.#interval));
    this.#live.set(address, { stack, bytes, weight });
    stack.objects += weight;
    stack.bytes += weight * bytes;
    return address;
  }

  /** Allocates; now and then looks who asked. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    return this.#sample(this.inner.allocate(size, alignment, hint), size);
  }

  /** Frees. */
  override free(address: number): void {
    this.inner.free(address);
    this.#live.delete(address);
  }

  /** Resizes: the old block is over, the new one may be sampled. */
  override resize(address: number, size: number): number {
    const to = this.inner.resize(address, size);
    if (to === NO_ADDRESS) return to;
    this.#live.delete(address);
    return this.#sample(to, size);
  }

  /** Ends all lives; what was allocated stays in the profile. */
  override reset(): void {
    this.inner.reset();
    this.#live.clear();
  }

  /** The profile so far, by stack; counts are estimates. */
  samples(): StackSample[] {
    const live = new Map<StackTotals, { objects: number; bytes: number }>();
    for (const { stack, bytes, weight } of this.#live.values()) {
      const sum = live.get(stack) ?? { objects: 0, bytes: 0 };
      sum.objects += weight;
      sum.bytes += weight * bytes;
      live.set(stack, sum);
    }
    return Array.from(this.#totals.values(), (stack) => ({
      stack: stack.frames,
      allocatedObjects: stack.objects,
      allocatedBytes: stack.bytes,
      liveObjects: live.get(stack)?.objects ?? 0,
      liveBytes: live.get(stack)?.bytes ?? 0,
    }));
  }

  /** The profile so far as a pprof file. */
  encode(): Uint8Array {
    return encodeProfile(this.samples(), this.#interval);
  }
}
