/**
 * Why does this machine triple-fault when paging goes on?
 *
 * The processor must reach its code, its stack, its descriptor tables, the handler of what is raised, and that handler's stack. Each is walked to
 * as the processor would; the first that is not reached is traced back to the register or entry that causes it.
 */

import { formatBigint } from "../address.ts";
import { ACCESS_FETCH, ACCESS_IMPLICIT, ACCESS_USER, ACCESS_WRITE } from "../rights.ts";
import { blame } from "./entry-rules.ts";
import type { DiagnosisInput, Finding, Scene, Target } from "./finding.ts";
import { findingAt, stateOf } from "./finding.ts";
import { gateTarget, handlerOf, handlerTarget, hasGate, vectorRaised, wrongBase } from "./interrupts.ts";
import { pagingOff, wrongRoot } from "./mode-rules.ts";
import { arrives, isZeroFrame, walkTo } from "./reach.ts";

/** Bytes that an interrupt without privilege change pushes in long mode, at most: SS, RSP, RFLAGS, CS, RIP and an error code. */
const EXCEPTION_FRAME = 48n;

/**
 * What keeps this machine from running, first cause first; empty where everything that has to be reached is.
 * Findings after the first may be consequences of it.
 */
export function diagnose(input: DiagnosisInput): Finding[] {
  if (((BigInt(input.cr0) >> 31n) & 1n) === 0n) return [pagingOff(input)];
  const state = stateOf(input);
  const targets = primaryTargets(input);
  const scene: Scene = { input, memory: input.memory, state, targets };
  const findings: Finding[] = [];
  for (const target of byFaultAddress(targets, input.cr2)) {
    examine(scene, target, findings);
    if (isAboutRegisters(findings[0])) return findings;
  }
  if (findings.length === 0) codeIsThere(scene, findings);
  examineInterrupts(scene, findings);
  return distinct(findings);
}

/** Where a register is wrong, everything else that fails is a consequence. */
function isAboutRegisters(first: Finding | undefined): boolean {
  return first !== undefined && first.level === undefined && /^(cr3|la57|lme|pae|pse)-/.test(first.rule);
}

function primaryTargets(input: DiagnosisInput): Target[] {
  const user = (Number(input.cs ?? 0n) & 3) === 3 ? ACCESS_USER : 0;
  const long = ((BigInt(input.efer ?? 0) >> 8n) & 1n) === 1n;
  const width = long ? 64 : 32;
  const push = BigInt.asUintN(width, input.rsp - (long ? 8n : 4n));
  const targets: Target[] = [
    { what: "code", address: input.rip, access: ACCESS_FETCH | user, text: "the code at RIP" },
    { what: "stack", address: push, access: ACCESS_WRITE | user, text: "the stack (the next push)" },
  ];
  const { gdtr } = input;
  if (gdtr !== undefined && gdtr.limit >= 15)
    targets.push({ what: "gdt", address: gdtr.base + 8n, access: ACCESS_IMPLICIT, text: "the GDT" });
  return targets;
}

/** The targets with the one at which CR2 points first: it is what faulted. CR2 is stale where it points at none. */
function byFaultAddress(targets: readonly Target[], cr2: bigint | undefined): Target[] {
  if (cr2 === undefined) return [...targets];
  const page = cr2 >> 12n;
  const isFault = (target: Target): boolean => target.address >> 12n === page;
  return [
    ...targets.filter(isFault).map((target) => ({ ...target, address: cr2 })),
    ...targets.filter((target) => !isFault(target)),
  ];
}

/** Adds what keeps a target from being reached. Returns whether it is. */
function examine(scene: Scene, target: Target, findings: Finding[]): boolean {
  const walk = walkTo(scene.state, scene.memory, target);
  const needsMemory = target.what !== "handler" && target.what !== "idt";
  if (walk.failure === undefined && (!needsMemory || arrives(walk, scene.memory))) return true;
  const structural =
    walk.failure === undefined
    || walk.failure.check === "present"
    || walk.failure.check === "reserved"
    || walk.failure.check === "canonical";
  const root = structural && findings.length === 0 ? wrongRoot(scene, target) : undefined;
  findings.push(root ?? blame(scene, target, walk));
  return false;
}

/** RIP may be mapped to a frame that holds nothing. */
function codeIsThere(scene: Scene, findings: Finding[]): void {
  const [code] = scene.targets;
  if (code === undefined) return;
  const walk = walkTo(scene.state, scene.memory, code);
  const last = walk.steps.at(-1);
  if (walk.physical === undefined || last === undefined || !isZeroFrame(scene.memory, Number(walk.physical >> 12n)))
    return;
  findings.push(
    findingAt(
      "code-page-empty",
      `RIP ${formatBigint(code.address)} is mapped to ${formatBigint(walk.physical)}, and that whole frame is zero: no code is there`,
      last,
      code.address,
    ),
  );
}

/** IDT, handlers, and the stack that delivery needs. */
function examineInterrupts(scene: Scene, findings: Finding[]): void {
  const { input } = scene;
  const raised = vectorRaised(scene);
  if (!hasGate(scene, 14)) {
    if (findings.length === 0) {
      findings.push({
        rule: "idt-missing",
        sentence: `IDTR.limit is 0x${input.idtr.limit.toString(16)}: there is no gate for a page fault, so any exception escalates to a triple fault`,
        address: input.idtr.base,
      });
    }
    return;
  }
  const vectors = [...new Set([raised, 14, 8, 13, ...Array.from({ length: 32 }, (_, i) => i)])].filter(
    (vector) => vector >= 0 && hasGate(scene, vector),
  );
  for (const vector of vectors) {
    const gate = gateTarget(scene, vector);
    if (arrives(walkTo(scene.state, scene.memory, gate), scene.memory)) continue;
    const wrong = findings.length === 0 ? wrongBase(scene) : undefined;
    if (wrong === undefined) examine(scene, gate, findings);
    else findings.push({ ...wrong, address: gate.address });
    return;
  }
  if (vectors.every((vector) => handlerOf(scene, vector) === undefined)) {
    findings.push({
      rule: "idt-empty",
      sentence: `the IDT at ${formatBigint(input.idtr.base)} holds no present interrupt or trap gate`,
      address: input.idtr.base,
    });
    return;
  }
  if (raised >= 0 && hasGate(scene, raised) && handlerOf(scene, raised) === undefined) {
    findings.push({
      rule: "idt-gate-not-present",
      sentence: `the gate of vector ${raised}, which the code raises, is not a present interrupt or trap gate`,
      address: gateTarget(scene, raised).address,
    });
  }
  for (const vector of vectors) {
    const handler = handlerTarget(scene, vector);
    if (handler !== undefined) examine(scene, handler, findings);
  }
  examineHandlerStack(scene, findings);
}

/** The exception frame may reach into the page below the one that the next push touches. */
function examineHandlerStack(scene: Scene, findings: Finding[]): void {
  const rsp = scene.input.rsp;
  if ((Number(scene.input.cs ?? 0n) & 3) === 3) return;
  const address = BigInt.asUintN(64, (rsp & ~15n) - EXCEPTION_FRAME);
  if (address >> 12n === BigInt.asUintN(64, rsp - 8n) >> 12n) return;
  examine(
    scene,
    { what: "stack", address, access: ACCESS_WRITE, text: "the stack of the exception handler" },
    findings,
  );
}

function distinct(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>();
  return findings.filter((finding) => {
    const key = `${finding.rule} ${finding.entryAddress ?? finding.address ?? ""}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
