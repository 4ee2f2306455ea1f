/** Finds what can be explained in a pasted text: QEMU's `-d int` log, `info registers`, a kernel oops. */
import { explainEntry, MODE_5_LEVEL, PagingState, wordsOfBigint } from "@pagewright/x86-paging";
import { hex } from "../paging-options.ts";
import type { Item } from "./item.ts";
import { explainNamed } from "./item.ts";

const VECTORS: Readonly<Record<number, string>> = {
  0: "#DE divide error",
  1: "#DB debug",
  2: "NMI",
  3: "#BP breakpoint",
  4: "#OF overflow",
  5: "#BR bound range",
  6: "#UD invalid opcode",
  7: "#NM device not available",
  8: "#DF double fault",
  10: "#TS invalid TSS",
  11: "#NP segment not present",
  12: "#SS stack fault",
  13: "#GP general protection",
  14: "#PF page fault",
  16: "#MF x87 error",
  17: "#AC alignment check",
  18: "#MC machine check",
  19: "#XM SIMD error",
  20: "#VE virtualization exception",
  21: "#CP control protection",
};

function vectorName(vector: number): string {
  return VECTORS[vector] ?? `interrupt ${vector}`;
}

const big = (digits: string | undefined): bigint => BigInt(`0x${digits ?? "0"}`);
const plain = (name: string, sentence: string, value?: bigint): Item =>
  value === undefined ? { name, sentence, lines: [] } : { name, value: hex(value), sentence, lines: [] };

/** What one line says; the first pattern that matches explains the line, registers are looked for besides. */
const PATTERNS: readonly (readonly [RegExp, (match: RegExpMatchArray) => Item[]])[] = [
  [
    /^\s*\d+: v=([0-9a-f]+) e=([0-9a-f]+) i=(\d) cpl=(\d) IP=[0-9a-f]+:([0-9a-f]+).*?(?:CR2=([0-9a-f]+))?\s*(?:env->regs.*)?$/i,
    qemuEvent,
  ],
  [/check_exception old: 0x([0-9a-f]+) new 0x([0-9a-f]+)/i, qemuEscalation],
  [
    /triple fault/i,
    () => [
      plain(
        "triple fault",
        "a fault while the double fault was being delivered: the processor shuts down (and most boards reset)",
      ),
    ],
  ],
  [
    /unable to handle (?:kernel )?(?:page fault|paging request|NULL pointer dereference)(?: for| at)?(?: address)?:? (?:virtual address )?([0-9a-f]+)/i,
    faultAddress,
  ],
  [/kernel NULL pointer dereference, address: ([0-9a-f]+)/i, faultAddress],
  [/#PF: error_code\(0x([0-9a-f]+)\)/i, (match) => errorCode(big(match[1]))],
  [/^.*\bOops: (?:general protection fault.*?)?([0-9a-f]{4})\b/i, (match) => errorCode(big(match[1]))],
  [
    /\bPGD ([0-9a-f]+)(?: P4D ([0-9a-f]+))?(?: PUD ([0-9a-f]+))?(?: PMD ([0-9a-f]+))?(?: PTE ([0-9a-f]+))?/i,
    linuxEntries,
  ],
  [/\bRIP: [0-9a-f]{4}:(\S+)/, (match) => [plain("RIP", `the instruction is at ${match[1] ?? ""}`)]],
];

function errorCode(value: bigint): Item[] {
  const item = explainNamed("error", value);
  return item === undefined ? [] : [item];
}

function qemuEvent(match: RegExpMatchArray): Item[] {
  const vector = Number(big(match[1]));
  const where = `at CPL ${match[4] ?? "?"}, instruction at ${hex(big(match[5]))}`;
  const how = match[3] === "1" ? "software interrupt" : "exception";
  const event = plain(`vector ${vector}`, `${how} ${vectorName(vector)} ${where}`, big(match[1]));
  if (vector !== 14) return [event];
  const address =
    match[6] === undefined ? [] : [plain("CR2", `the access was to ${hex(big(match[6]))}`, big(match[6]))];
  return [event, ...errorCode(big(match[2])), ...address];
}

function qemuEscalation(match: RegExpMatchArray): Item[] {
  const before = Number(big(match[1]));
  const now = Number(big(match[2]));
  if (match[1] === "ffffffff") return [];
  const becomes = before === 8 ? "a triple fault" : "a double fault";
  return [
    plain(
      "escalation",
      `${vectorName(now)} while ${vectorName(before)} was being delivered: becomes ${becomes} where the two do not nest`,
    ),
  ];
}

function faultAddress(match: RegExpMatchArray): Item[] {
  const address = big(match[1]);
  const near = address < 0x1000n ? ": within the first page, so a null pointer (plus an offset)" : "";
  const canonical = address >> 47n === 0n || address >> 47n === 0x1ffffn ? "" : "; not canonical in 48 bits";
  return [plain("fault address", `the access was to ${hex(address)}${near}${canonical}`, address)];
}

/** Linux prints the entries on the way: PGD is level 5 (or 4 where P4D repeats it), PTE level 1. */
function linuxEntries(match: RegExpMatchArray): Item[] {
  const state = new PagingState({ mode: MODE_5_LEVEL });
  const [, pgd, p4d, pud, pmd, pte] = match;
  const folded = p4d === undefined || p4d === pgd;
  const entries: [number, string | undefined][] = [
    [folded ? 4 : 5, pgd],
    [4, folded ? undefined : p4d],
    [3, pud],
    [2, pmd],
    [1, pte],
  ];
  return entries.flatMap(([level, digits]) => {
    if (digits === undefined) return [];
    const [low, high] = wordsOfBigint(big(digits));
    const entry = explainEntry(state, level, low, high);
    const lines = entry.bits.map((bit) => ({ name: bit.name, bits: bit.bits, value: "", text: bit.text }));
    return [{ name: entry.name, value: hex(entry.value), sentence: entry.sentence, lines }];
  });
}

const REGISTER = /\b(CR0|CR2|CR3|CR4|EFER|PKRU|PKRS)\s*[=:]\s*([0-9a-f]{2,16})\b/gi;

/** Everything in a text that can be explained, in order; a value that was explained before is not repeated. */
export function explainText(text: string): Item[] {
  const items: Item[] = [];
  const seen = new Set<string>();
  const add = (found: readonly Item[]): void => {
    for (const item of found) {
      const key = `${item.name} ${item.value ?? item.sentence}`;
      if (item.value !== undefined && seen.has(key)) continue;
      seen.add(key);
      items.push(item);
    }
  };
  for (const line of text.split(/\r?\n/)) {
    for (const [pattern, explain] of PATTERNS) {
      const match = pattern.exec(line);
      if (match === null) continue;
      add(explain(match));
      break;
    }
    if (/^\s*\d+: v=/.test(line)) continue;
    for (const [, name, digits] of line.matchAll(REGISTER)) {
      const item = explainNamed(name ?? "", big(digits));
      if (item !== undefined) add([item]);
    }
  }
  return items;
}
