/** Rules about what is mapped how: rights, aliases, memory types, exposure, stacks. */

import { formatBigint, bigintOfVpn } from "../address.ts";
import { findAliasConflicts } from "../alias.ts";
import { ATTR_GLOBAL } from "../attributes.ts";
import { LEAF_LIMIT, RUN_LIMIT } from "../bounded-cursor.ts";
import { rawOfVpn } from "../cursor.ts";
import { MEMORY_TYPE_NAMES, PAT_AT_RESET } from "../registers.ts";
import { RIGHT_EXECUTE, RIGHT_USER, RIGHT_WRITE } from "../rights.ts";
import type { Pfn, Vpn } from "../units.ts";
import { recursiveRange } from "../recursive.ts";
import { FINDING_LIMIT } from "./finding.ts";
import type { LintFinding, LintRule, LintRun, LintScene, LintSeverity } from "./finding.ts";

const at = (vpn: Vpn): string => formatBigint(bigintOfVpn(vpn));
const span = (vpn: Vpn, pages: number): string =>
  `${at(vpn)}–${formatBigint(bigintOfVpn(vpn) + BigInt(pages) * 4096n)}`;
const frame = (pfn: Pfn): string => formatBigint(BigInt(pfn) * 4096n);

function isUpper(scene: LintScene, vpn: Vpn): boolean {
  const { mode } = scene.state;
  return mode.definition.extension === "sign" ? vpn < 0 : false;
}

function isRecursive(scene: LintScene, vpn: Vpn): boolean {
  const slot = scene.options.recursiveSlot;
  if (slot === undefined) return false;
  const range = recursiveRange(scene.state.mode, slot);
  return vpn >= range.vpn && vpn < range.vpn + range.pages;
}

/** Rules that look at one run at a time; neighbours that only differ in frames are joined. */
export function lintRights(scene: LintScene): void {
  const pge = scene.options.globalPages ?? true;
  const say = (rule: LintRule, severity: LintSeverity, vpn: Vpn, pages: number, sentence: string): void =>
    scene.report({ rule, severity, vpn, pages, sentence });
  for (const [vpn, pages] of joined(
    scene,
    (run) => (run.rights & RIGHT_WRITE) !== 0 && (run.rights & RIGHT_EXECUTE) !== 0,
  )) {
    say("writable-executable", "warning", vpn, pages, `${span(vpn, pages)} can be written and executed`);
  }
  for (const [vpn, pages] of joined(scene, (run) => isUpper(scene, run.vpn) && (run.rights & RIGHT_USER) !== 0)) {
    say(
      "user-in-upper-half",
      "error",
      vpn,
      pages,
      `${span(vpn, pages)} lies in the upper half and can be reached from user mode`,
    );
  }
  if (!pge || scene.state.mode.globalMask === 0 || scene.state.mode.definition.extension !== "sign") return;
  for (const [vpn, pages] of joined(
    scene,
    (run) => isUpper(scene, run.vpn) && (run.rights & RIGHT_USER) === 0 && (run.attributes & ATTR_GLOBAL) === 0,
  )) {
    say(
      "not-global",
      "note",
      vpn,
      pages,
      `${span(vpn, pages)} is the supervisor's but not global: its translations are dropped at every change of CR3`,
    );
  }
}

function* joined(scene: LintScene, accept: (run: LintRun) => boolean): Generator<[Vpn, number], void> {
  let vpn = 0;
  let pages = 0;
  for (const run of scene.runs) {
    if (!accept(run) || isRecursive(scene, run.vpn)) continue;
    if (pages > 0 && vpn + pages === run.vpn) {
      pages += run.pages;
      continue;
    }
    if (pages > 0) yield [vpn, pages];
    vpn = run.vpn;
    pages = run.pages;
  }
  if (pages > 0) yield [vpn, pages];
}

/** A table frame that can be written through a mapping. */
export function lintWritableTables(scene: LintScene, tables: ReadonlyMap<Pfn, number>): void {
  const frames = [...tables.keys()].sort((a, b) => a - b);
  for (const run of scene.byFrame) {
    if ((run.rights & RIGHT_WRITE) === 0 || isRecursive(scene, run.vpn)) continue;
    let i = lowerBound(frames, run.pfn);
    if ((frames[i] ?? Infinity) >= run.pfn + run.pages) continue;
    const first = frames[i] ?? 0;
    let count = 0;
    while ((frames[i] ?? Infinity) < run.pfn + run.pages) {
      count++;
      i++;
    }
    const user = (run.rights & RIGHT_USER) !== 0;
    const vpn = run.vpn + (first - run.pfn);
    const who = user ? "user mode" : "the supervisor";
    const sentence = `${count} table frame${count === 1 ? "" : "s"} (the first: ${frame(first)} at ${at(vpn)}) can be written by ${who} through ${span(run.vpn, run.pages)}`;
    scene.report({
      rule: "table-writable",
      severity: user ? "error" : "warning",
      vpn,
      pages: count === 1 ? 1 : run.pages,
      pfn: first,
      sentence,
    });
  }
}

function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Frames that are executable through one mapping and writable through another. */
export function lintExecutableAliases(scene: LintScene): void {
  const writable = scene.byFrame.filter((run) => (run.rights & RIGHT_WRITE) !== 0);
  const starts: number[] = [];
  let reach = 0;
  const reaches = writable.map((run) => {
    starts.push(run.pfn);
    return (reach = Math.max(reach, run.pfn + run.pages));
  });
  for (const run of scene.byFrame) {
    if ((run.rights & RIGHT_EXECUTE) === 0 || (run.rights & RIGHT_WRITE) !== 0) continue;
    for (
      let i = lowerBound(reaches, run.pfn + 1);
      i < writable.length && (starts[i] ?? Infinity) < run.pfn + run.pages;
      i++
    ) {
      const other = writable[i];
      if (other === undefined || other.pfn + other.pages <= run.pfn || other.vpn === run.vpn) continue;
      const first = Math.max(run.pfn, other.pfn);
      const pages = Math.min(run.pfn + run.pages, other.pfn + other.pages) - first;
      const vpn = run.vpn + (first - run.pfn);
      const sentence = `${span(vpn, pages)} is executable, and its frames from ${frame(first)} on are writable at ${at(other.vpn + (first - other.pfn))}`;
      scene.report({ rule: "executable-alias", severity: "warning", vpn, pages, pfn: first, sentence });
      break;
    }
  }
}

/** One frame with two memory types. */
export function lintMemoryTypes(scene: LintScene): void {
  const { state, memory, options } = scene;
  if (state.mode.definition.rule !== "x86") return;
  const conflicts = findAliasConflicts([state, ...(options.others ?? [])], memory, {
    pat: options.pat ?? PAT_AT_RESET,
    limit: options.findingLimit ?? FINDING_LIMIT,
    leafLimit: options.leafLimit ?? LEAF_LIMIT,
    runLimit: options.runLimit ?? RUN_LIMIT,
  });
  for (const { pfn, pages, firstVpn, firstType, secondVpn, secondType } of conflicts) {
    const [first, second] = [MEMORY_TYPE_NAMES[firstType] ?? "", MEMORY_TYPE_NAMES[secondType] ?? ""];
    const sentence = `${pages} frame${pages === 1 ? "" : "s"} from ${frame(pfn)} on are ${first} at ${at(firstVpn)} and ${second} at ${at(secondVpn)}`;
    scene.report({ rule: "memory-type-conflict", severity: "error", vpn: secondVpn, pages, pfn, sentence });
  }
}

/** A permanent map of physical memory: frames at one distance from their pages, over half of RAM. */
export function lintLinearMap(scene: LintScene): void {
  const ram = scene.options.ram;
  if (ram === undefined) return;
  const total = ram.reduce((sum, range) => sum + range.end - range.start, 0);
  const groups = new Map<number, { frames: number; first: LintRun; end: number }>();
  for (const run of scene.runs) {
    if ((run.rights & RIGHT_USER) !== 0 || isRecursive(scene, run.vpn)) continue;
    const frames = ram.reduce(
      (sum, range) => sum + Math.max(0, Math.min(range.end, run.pfn + run.pages) - Math.max(range.start, run.pfn)),
      0,
    );
    if (frames === 0) continue;
    const delta = rawOfVpn(scene.state.mode, run.vpn) - run.pfn;
    const group = groups.get(delta);
    if (group === undefined) groups.set(delta, { frames, first: run, end: run.vpn + run.pages });
    else {
      group.frames += frames;
      group.end = run.vpn + run.pages;
    }
  }
  for (const { frames, first, end } of groups.values()) {
    if (frames * 2 < total) continue;
    const percent = ((frames / total) * 100).toFixed(1);
    const sentence = `${span(first.vpn, end - first.vpn)} is a linear map of physical memory: ${frames * 4096} bytes of RAM (${percent} %) are exposed in kernel space`;
    scene.report({
      rule: "linear-map",
      severity: "warning",
      vpn: first.vpn,
      pages: end - first.vpn,
      pfn: first.pfn,
      sentence,
    });
  }
}

/** A stack that runs into mapped memory when it overflows. */
export function lintStacks(scene: LintScene, isMapped: (vpn: Vpn) => boolean): void {
  for (const stack of scene.options.stacks ?? []) {
    if (!isMapped(stack.vpn - 1)) continue;
    const finding: LintFinding = {
      rule: "no-guard-page",
      severity: "warning",
      vpn: stack.vpn - 1,
      pages: 1,
      sentence: `the page below the stack ${span(stack.vpn, stack.pages)} is mapped: an overflow is not caught`,
    };
    scene.report(finding);
  }
}
