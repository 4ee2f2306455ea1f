import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";
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

/** Calls off the text of an Error's stack, in V8's (`at f (file:1:2)`), JavaScriptCore's and SpiderMonkey's forms (`f@file:1:2`). */
function callsOf(text: string): StackFrame[] {
  const frames: StackFrame[] = [];
  for (const line of text.split("\n")) {
    const call =
      /^\s*at (?:async )?(?:(.+?) \()?(.+?):(\d+):\d+\)?$/.exec(line) ?? /^(.*?)@(.+?):(\d+):\d+$/.exec(line);
    if (call === null) continue;
    const [, name = "", file = "", at = "0"] = call;
    if (/^Profiler\./.test(name)) continue;
    frames.push({ name: name === "" ? "(top level)" : name, file, line: Number(at) });
  }
  return frames;
}

/** What two calls have in common that are shown as one. */
function keyOf({ name, file = "", line = 0 }: StackFrame): string {
  return `${name}\0${file}\0${line}`;
}

/** One block that was looked at. */
interface Sample {
  readonly address: number;
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
  readonly #stack: (() => readonly StackFrame[]) | null;
  /** Samples whose blocks are live, with gaps. */
  readonly #samples: (Sample | null)[] = [];
  /** From a block's address to its place among the samples: a free asks it of every block, nearly always in vain. */
  readonly #places: LiveTable = new LiveTable((place) => this.#samples[place]?.address ?? NO_ADDRESS);
  /** Places that are gaps. */
  readonly #gaps: number[] = [];
  /** By the text of an Error's stack, so that each is read once. */
  readonly #byText = new Map<string, StackTotals>();
  readonly #totals = new Map<string, StackTotals>();
  #left: number;

  /** @throws HeapError `bad-option` for an interval that is not above 0. */
  constructor(inner: Allocator, options: ProfilerOptions) {
    super(inner);
    this.#interval = options.intervalBytes ?? 524288;
    if (!(this.#interval > 0)) throw new HeapError("bad-option", this.#interval);
    this.#random = options.random;
    this.#stack = options.stack ?? null;
    this.#left = this.#distance();
  }

  /** Exponentially distributed: what makes every byte as likely as any other. */
  #distance(): number {
    return -Math.log(1 - this.#random()) * this.#interval;
  }

  /** Counts the bytes of a new block, and looks who asked for it when they reach the next sample. */
  #count(address: number, size: number): number {
    this.#left -= size > 0 ? size : 1;
    if (this.#left <= 0 && address !== NO_ADDRESS) this.#sample(address, Math.max(size, 1));
    return address;
  }

  #sample(address: number, bytes: number): void {
    this.#left = this.#distance();
    const stack = this.#totalsHere();
    // A block of this size is hit with probability 1 − e^(−size / interval).
    const weight = 1 / (1 - Math.exp(-bytes / this.#interval));
    const place = this.#gaps.pop() ?? this.#samples.length;
    this.#samples[place] = { address, stack, bytes, weight };
    this.#places.add(address, place);
    stack.objects += weight;
    stack.bytes += weight * bytes;
  }

  #totalsHere(): StackTotals {
    if (this.#stack !== null) return this.#totalsOf(this.#stack());
    const text = new Error().stack ?? "";
    const met = this.#byText.get(text);
    if (met !== undefined) return met;
    const stack = this.#totalsOf(callsOf(text));
    this.#byText.set(text, stack);
    return stack;
  }

  #totalsOf(frames: readonly StackFrame[]): StackTotals {
    const key = frames.map(keyOf).join("\n");
    const stack = this.#totals.get(key) ?? { frames, objects: 0, bytes: 0 };
    this.#totals.set(key, stack);
    return stack;
  }

  #forget(address: number): void {
    const place = this.#places.take(address);
    if (place < 0) return;
    this.#samples[place] = null;
    this.#gaps.push(place);
  }

  /** Allocates; now and then looks who asked. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    return this.#count(this.inner.allocate(size, alignment, hint), size);
  }

  /** Frees. */
  override free(address: number): void {
    this.inner.free(address);
    this.#forget(address);
  }

  /** Resizes: the old block is over, the new one may be sampled. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS) return to;
    this.#forget(address);
    return this.#count(to, size);
  }

  /** Ends all lives; what was allocated stays in the profile. */
  override reset(): void {
    this.inner.reset();
    this.#places.clear();
    this.#samples.length = this.#gaps.length = 0;
  }

  /** The profile so far, by stack; counts are estimates. */
  samples(): StackSample[] {
    const live = new Map<StackTotals, { objects: number; bytes: number }>();
    for (const sample of this.#samples) {
      if (sample === null) continue;
      const { stack, bytes, weight } = sample;
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
