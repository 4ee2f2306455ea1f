/** The interrupt descriptor table: whether it is there, looks like one, and where its handlers are. */

import { formatBigint, isCanonicalBigint } from "../address.ts";
import { ACCESS_IMPLICIT, ACCESS_FETCH } from "../rights.ts";
import type { Finding, Scene, Target } from "./finding.ts";
import { arrives, byteAt, walkTo } from "./reach.ts";

/** Bytes of a gate in long mode; 8 otherwise. */
function gateBytes(scene: Scene): number {
  return scene.state.mode.keyShift >= 0 ? 16 : 8;
}

/** The gate of a vector as a target. */
export function gateTarget(scene: Scene, vector: number): Target {
  const address = BigInt.asUintN(64, scene.input.idtr.base + BigInt(vector * gateBytes(scene)));
  return { what: "idt", address, access: ACCESS_IMPLICIT, text: `the IDT gate of vector ${vector}` };
}

/** Whether the IDT reaches as far as a vector. */
export function hasGate(scene: Scene, vector: number): boolean {
  return scene.input.idtr.limit + 1 >= (vector + 1) * gateBytes(scene);
}

function readBytes(scene: Scene, address: bigint, count: number): bigint | undefined {
  let value = 0n;
  for (let i = 0; i < count; i++) {
    const target: Target = {
      what: "idt",
      address: BigInt.asUintN(64, address + BigInt(i)),
      access: ACCESS_IMPLICIT,
      text: "",
    };
    const walk = walkTo(scene.state, scene.memory, target);
    if (!arrives(walk, scene.memory) || walk.physical === undefined) return undefined;
    value |= BigInt(byteAt(scene.memory, walk.physical)) << BigInt(8 * i);
  }
  return value;
}

/** A gate's handler address, or undefined for a gate that is not present or not reachable. */
export function handlerOf(scene: Scene, vector: number): bigint | undefined {
  return handlerAt(scene, gateTarget(scene, vector).address);
}

function handlerAt(scene: Scene, address: bigint): bigint | undefined {
  const size = gateBytes(scene);
  const gate = readBytes(scene, address, size);
  if (gate === undefined || ((gate >> 47n) & 1n) === 0n) return undefined;
  const type = Number((gate >> 40n) & 15n);
  if (type !== 14 && type !== 15) return undefined;
  const offset = (gate & 0xffffn) | ((gate >> 32n) & 0xffff_0000n);
  return size === 16 ? offset | (((gate >> 64n) & 0xffff_ffffn) << 32n) : offset;
}

/** The handler of a vector as a target. */
export function handlerTarget(scene: Scene, vector: number): Target | undefined {
  const address = handlerOf(scene, vector);
  if (address === undefined) return undefined;
  return { what: "handler", address, access: ACCESS_FETCH, text: `the handler of vector ${vector}` };
}

/** Which vector the instruction at RIP raises, where its bytes say so: INT3, INT n, UD2; else −1. */
export function vectorRaised(scene: Scene): number {
  const rip = scene.input.rip;
  const bytes = [0n, 1n].map((i) => readBytes(scene, rip + i, 1));
  const [first, second] = bytes.map((byte) => Number(byte ?? -1n));
  if (first === 0xcc) return 3;
  if (first === 0xcd && second !== undefined) return second;
  if (first === 0x0f && second === 0x0b) return 6;
  if (readBytes(scene, rip - 1n, 1) === 0xccn) return 3;
  return -1;
}

/**
 * Where IDTR.base has lost or gained a bit, or its upper half: the address near it at which something that looks like an IDT is mapped.
 * Asked when the base itself is not mapped.
 */
export function wrongBase(scene: Scene): Finding | undefined {
  const base = scene.input.idtr.base;
  const bits = scene.state.mode.addressBits;
  const candidates: { address: bigint; text: string }[] = [];
  for (let bit = 12; bit < 64; bit++) {
    candidates.push({
      address: base ^ (1n << BigInt(bit)),
      text: `bit ${bit} ${((base >> BigInt(bit)) & 1n) === 0n ? "lost" : "added"}`,
    });
  }
  candidates.push({ address: BigInt.asUintN(64, BigInt.asIntN(32, base)), text: "bits 63:32 lost" });
  for (const top of upperHalves(scene))
    candidates.push({ address: top | (base & 0x7fff_ffffn), text: "the physical address in place of the virtual one" });
  for (const { address, text } of candidates) {
    if (address === base || !isCanonicalBigint(address, Math.max(bits, 48)) || !looksLikeIdt(scene, address)) continue;
    const sentence = `IDTR.base is ${formatBigint(base)}, which is not mapped; an IDT lies at ${formatBigint(address)} (${text})`;
    return { rule: "idtr-base-wrong", sentence, address: base };
  }
  return undefined;
}

/** The upper halves of the addresses at which the machine runs. */
function upperHalves(scene: Scene): bigint[] {
  return [scene.input.rip, scene.input.rsp].map((address) => address & ~0x7fff_ffffn);
}

/** Whether at least one of the first 32 gates at an address is present with a handler that is mapped as code. */
function looksLikeIdt(scene: Scene, address: bigint): boolean {
  for (let vector = 0; vector < 32; vector++) {
    const handler = handlerAt(scene, BigInt.asUintN(64, address + BigInt(vector * gateBytes(scene))));
    if (handler === undefined || handler === 0n) continue;
    const target: Target = { what: "handler", address: handler, access: ACCESS_FETCH, text: "" };
    if (arrives(walkTo(scene.state, scene.memory, target), scene.memory)) return true;
  }
  return false;
}
