/** Which entry on the way to a target is to blame, and what is wrong with it. */

import { formatBigint } from "../address.ts";
import { reservedText } from "../explain-entry.ts";
import type { WalkExplanation, WalkStep } from "../explain-walk.ts";
import { isLeaf, leafFrameOf, levelOf, tableFrameOf } from "../mode.ts";
import type { PagingState } from "../state.ts";
import type { Pfn } from "../units.ts";
import { TRANSLATED } from "../walk.ts";
import type { Finding, Scene, Target } from "./finding.ts";
import { entryName, findingAt } from "./finding.ts";
import { arrives, isPlausibleTable, isZeroFrame, walkTo } from "./reach.ts";

function frameOf(state: PagingState, step: WalkStep): Pfn {
  const level = levelOf(state.mode, step.level);
  const low = step.low & state.addressLow;
  const high = step.high & state.addressHigh;
  return isLeaf(state.mode, level, step.low) ? leafFrameOf(level, low, high) : tableFrameOf(level, low, high);
}

/** Where the walk to `target` fails: the entry, and a sentence for it. */
export function blame(scene: Scene, target: Target, walk: WalkExplanation): Finding {
  const { state } = scene;
  const address = target.address;
  const shown = formatBigint(address);
  const failure = walk.failure;
  const last = walk.steps.at(-1);
  if (failure?.check === "canonical" || last === undefined) {
    return {
      rule: `${target.what}-address-not-canonical`,
      sentence: `${target.text} is at ${shown}, which is not canonical in ${state.mode.addressBits} bits`,
      address,
    };
  }
  return (
    looping(scene, target, walk)
    ?? packed(scene, target, walk)
    ?? misshifted(scene, target, walk)
    ?? beyondMemory(scene, target, walk)
    ?? reserved(target, walk, last)
    ?? (failure?.check === "present" ? notPresent(scene, target, last) : undefined)
    ?? denied(target, walk, last)
  );
}

/** An entry that refers to its own table or to one above it. */
function looping(scene: Scene, target: Target, walk: WalkExplanation): Finding | undefined {
  for (const [i, step] of walk.steps.entries()) {
    if (step.entry.kind !== "table") continue;
    const frame = frameOf(scene.state, step);
    const above = walk.steps.slice(0, i + 1).find((other) => other.table === frame);
    if (above === undefined) continue;
    const self = above === step;
    const rule = `${step.name.toLowerCase()}-entry-points-to-${self ? "itself" : "ancestor"}`;
    const where = self ? `the ${step.name} itself` : `the ${above.name} above it`;
    const below = scene.state.mode.levels[step.level - 1]?.name ?? "table";
    return findingAt(
      rule,
      `${step.name}[${step.index}] holds the address of ${where} instead of a ${below}, so the walk to ${target.text} at ${formatBigint(target.address)} goes round in a loop`,
      step,
      target.address,
    );
  }
  return undefined;
}

/** Two 4-byte values in one 8-byte entry: both halves look like entries, and together they lead nowhere. */
function packed(scene: Scene, target: Target, walk: WalkExplanation): Finding | undefined {
  const { state, memory } = scene;
  if (state.mode.entryWords !== 2) return undefined;
  const step = walk.steps.find((item) => {
    if ((item.low & 1) === 0 || (item.high & 1) === 0) return false;
    const upper = item.high >>> 12;
    const flags = item.high & 0xe00;
    const nowhere = item.entry.reserved.length > 0 || !memory.has(frameOf(state, item));
    return nowhere && flags === 0 && memory.has(upper) && memory.has(item.low >>> 12);
  });
  if (step === undefined) return undefined;
  const sentence = `${step.name}[${step.index}] is ${formatBigint(step.entry.value)}: two 4-byte values share one 8-byte entry (the table was filled through 32-bit structs), so its upper half is garbage`;
  return findingAt("entries-32bit-packed", sentence, step, target.address);
}

/** An address field shifted by the wrong number of bits: the table named is none, the one at the address shifted back would do. */
function misshifted(scene: Scene, target: Target, walk: WalkExplanation): Finding | undefined {
  const { state, memory } = scene;
  for (const step of [...walk.steps].reverse()) {
    if (step.entry.kind !== "table" && step.entry.reserved.length === 0) continue;
    const frame = frameOf(state, step);
    if (step.entry.kind !== "table" || isPlausibleTable(state, memory, frame, step.level - 1)) continue;
    for (let shift = 1; shift <= 12; shift++) {
      for (const [candidate, way] of [
        [frame / 2 ** shift, "left"],
        [frame * 2 ** shift, "right"],
      ] as const) {
        if (!Number.isInteger(candidate) || candidate === 0 || !leadsOn(scene, step, candidate, target)) continue;
        const right = formatBigint(BigInt(candidate) << 12n);
        const wrong = formatBigint(BigInt(frame) << 12n);
        const sentence = `${step.name}[${step.index}] holds the table address ${wrong}, shifted ${way} by ${shift} bit${shift === 1 ? "" : "s"} too many: the table is at ${right}`;
        return findingAt(`${entryName(step.name).toLowerCase()}-frame-misshifted`, sentence, step, target.address);
      }
    }
  }
  return undefined;
}

/** Whether the walk to the target succeeds when the entry of `step` refers to another frame. */
function leadsOn(scene: Scene, step: WalkStep, frame: Pfn, target: Target): boolean {
  const { state, memory } = scene;
  if (!isPlausibleTable(state, memory, frame, step.level - 1)) return false;
  const wrong = frameOf(state, step);
  const mended = {
    words: (pfn: Pfn): Uint32Array => memory.words(pfn === wrong ? frame : pfn),
    base: (pfn: Pfn): number => memory.base(pfn === wrong ? frame : pfn),
  };
  return arrives(walkTo(state, mended, target), memory);
}

/** A table or page where there is no RAM. */
function beyondMemory(scene: Scene, target: Target, walk: WalkExplanation): Finding | undefined {
  const { state, memory } = scene;
  for (const step of walk.steps) {
    if (step.entry.kind === "not-present" || step.entry.reserved.length > 0) return undefined;
    const frame = frameOf(state, step);
    const isTable = step.entry.kind === "table";
    if (isTable ? memory.has(frame) : walk.code !== TRANSLATED || memory.has(Number((walk.physical ?? 0n) >> 12n)))
      continue;
    const what = isTable ? "a table" : target.text;
    const rule = isTable ? "table-beyond-memory" : "page-beyond-memory";
    return findingAt(
      rule,
      `${step.name}[${step.index}] refers to ${what} at ${formatBigint(BigInt(frame) << 12n)}, where there is no memory`,
      step,
      target.address,
    );
  }
  return undefined;
}

function reserved(target: Target, walk: WalkExplanation, last: WalkStep): Finding | undefined {
  const causes = walk.failure?.reserved ?? [];
  const [first] = causes;
  if (first === undefined) return undefined;
  const text = `${last.name}[${last.index}] is ${formatBigint(last.entry.value)}: ${reservedText(last.entry.reserved)}`;
  const rules: Record<string, string> = {
    "no-execute": "nx-bit-without-nxe",
    alignment: "large-page-misaligned",
    "address-width": "reserved-physical-bits",
    "page-size": "page-size-bit-reserved",
  };
  const cause = causes.find((item) => item !== "no-execute") ?? first;
  return findingAt(
    rules[cause] ?? "reserved-bits",
    `${text}; the access to ${target.text} faults`,
    last,
    target.address,
  );
}

function notPresent(scene: Scene, target: Target, last: WalkStep): Finding {
  const { state, memory } = scene;
  const address = target.address;
  const shown = formatBigint(address);
  const where = `${last.name}[${last.index}]`;
  const level = levelOf(state.mode, last.level);
  const frame = tableFrameOf(level.level === 1 ? levelOf(state.mode, 2) : level, last.low, last.high);
  const meant =
    frame !== 0 && memory.has(frame) && (last.level === 1 || isPlausibleTable(state, memory, frame, last.level - 1));
  if (last.entry.value !== 0n && meant) {
    const rule = `${entryName(last.name).toLowerCase()}-not-present`;
    return findingAt(
      rule,
      `${where} is ${formatBigint(last.entry.value)}: it was written without the P bit, so ${target.text} at ${shown} is not mapped`,
      last,
      address,
    );
  }
  const found = last.entry.value === 0n ? "is empty" : `is ${formatBigint(last.entry.value)}, not present`;
  const table = isZeroFrame(memory, last.table) ? ` (the whole ${last.name} is)` : "";
  if (target.what === "code" && last.level === state.mode.depth && address >> 63n === 1n) {
    return findingAt(
      "higher-half-not-mapped",
      `the code runs at its higher-half address ${shown}, but ${where} ${found}${table}`,
      last,
      address,
    );
  }
  return findingAt(
    `${target.what}-page-unmapped`,
    `${target.text} at ${shown} is not mapped: ${where} ${found}${table}`,
    last,
    address,
  );
}

/** Present everywhere, but a right is missing. */
function denied(target: Target, walk: WalkExplanation, last: WalkStep): Finding {
  const failure = walk.failure;
  const step = walk.steps.find((item) => item.level === failure?.level) ?? last;
  const shown = formatBigint(target.address);
  const upper = step !== last;
  const check = failure?.check ?? "present";
  const rules: Partial<Record<typeof check, string>> = {
    write: upper ? "upper-entry-read-only" : `${target.what}-page-read-only`,
    execute: upper ? "upper-entry-no-execute" : `${target.what}-page-no-execute`,
    user: upper ? "upper-entry-supervisor" : `${target.what}-page-supervisor`,
    smep: target.what === "handler" ? "smep-user-handler-page" : "smep-user-code-page",
    smap: `smap-user-${target.what}-page`,
    key: `${target.what}-page-key`,
  };
  const sentence = `${target.text} at ${shown} cannot be used: ${failure?.sentence ?? ""}; ${step.name}[${step.index}] is ${formatBigint(step.entry.value)}`;
  return findingAt(
    rules[check] ?? `${target.what}-page-denied`,
    upper ? `${sentence}, whatever the entries below it allow` : sentence,
    step,
    target.address,
  );
}
