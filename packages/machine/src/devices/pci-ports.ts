/**
 * Resource assignment in port space: every I/O BAR of a bus gets ports of its own, largest first, behind bridges within their
 * I/O windows. Memory BARs are `PciResources`' to place.
 */
import { PORT_LIMIT } from "./io-ports.ts";
import type { IoPorts } from "./io-ports.ts";
import type { PciBus, PciNode } from "./pci-bus.ts";
import { COMMAND, CONFIG } from "./pci-config.ts";
import { PciFunction } from "./pci-function.ts";
import { probeBars, writeBar } from "./pci-probe.ts";
import type { ProbedBar } from "./pci-probe.ts";

/** An I/O BAR with the ports it was given. */
export interface PortAssignment {
  /** Whose BAR. */
  readonly node: PciNode;
  /** Which BAR; its `size` counts ports. */
  readonly bar: ProbedBar;
  /** Its first port, a multiple of its size; −1 where nothing fitted. */
  readonly port: number;
}

/** First port given to PCI: those below are the board's own. Source: Linux, PCIBIOS_MIN_IO of x86. */
const FIRST_PORT = 0x1000;

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The ports that reach a node: all of them on bus 0, behind bridges those that every I/O window passes; null: none. */
function reachOf(bus: PciBus, node: PciNode): Span | null {
  let reach: Span = { start: FIRST_PORT, end: PORT_LIMIT };
  for (const bridge of bus.bridgesAbove(node)) {
    const window = bridge.window("io");
    if (window === null) return null;
    reach = { start: Math.max(reach.start, window.start), end: Math.min(reach.end, window.end) };
  }
  return reach;
}

/** The lowest multiple of `size` in `reach` whose ports nobody has in `ports` or `given`, or −1. At most 61,440 look-ups. */
function findPorts(size: number, { start, end }: Span, ports: IoPorts, given: readonly Span[]): number {
  for (let at = Math.ceil(start / size) * size; at + size <= end; at += size) {
    const isGiven = given.some((span) => span.start < at + size && span.end > at);
    const run = Array.from({ length: size }, (_, offset) => at + offset);
    if (!isGiven && run.every((port) => ports.rangeAt(port) === null)) return at;
  }
  return -1;
}

/**
 * Sizes every I/O BAR of `bus` and gives it ports that nobody has in `ports`; those that it had are given up first. Decoding of
 * ports is switched on for functions all of whose I/O BARs have a place, and stays off for the others. Returns every I/O BAR.
 */
export function assignPorts(bus: PciBus, ports: IoPorts): PortAssignment[] {
  const wanted = bus.nodes.flatMap((node) =>
    node.unit instanceof PciFunction
      ? probeBars(node.unit)
          .filter((bar) => bar.kind === "io")
          .map((bar) => ({ node, bar }))
      : [],
  );
  for (const { node } of wanted) decode(node, false);
  wanted.sort((a, b) => b.bar.size - a.bar.size);
  const given: Span[] = [];
  const out = wanted.map(({ node, bar }) => {
    const reach = reachOf(bus, node);
    const port = reach === null ? -1 : findPorts(bar.size, reach, ports, given);
    if (port >= 0) {
      given.push({ start: port, end: port + bar.size });
      writeBar(node.unit, bar, port);
    }
    return { node, bar, port };
  });
  for (const { node } of wanted) if (out.every((one) => one.node !== node || one.port >= 0)) decode(node, true);
  return out;
}

/** Switches a function's decoding of ports on or off. */
function decode(node: PciNode, isOn: boolean): void {
  const command = node.unit.readConfig(CONFIG.command, 2) & ~COMMAND.io;
  node.unit.writeConfig(CONFIG.command, 2, isOn ? command | COMMAND.io : command);
}
