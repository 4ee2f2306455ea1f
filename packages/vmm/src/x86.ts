/** `@pagewright/vmm/x86`: x86 page tables, kernel windows, invalidation and page faults for a machine's processors. */
export { X86System, rootWords, type X86SystemOptions } from "./x86/system.ts";
export { X86Tables } from "./x86/tables.ts";
export { RecursiveTables } from "./x86/recursive-tables.ts";
export { CpuWindows, DATA_WINDOWS, KernelWindows, SELF_PAGE, TABLE_WINDOWS } from "./x86/windows.ts";
export { CpuTlbControl, type RemoteCall, type TlbControlOptions, type TlbControlStats } from "./x86/tlb-control.ts";
export { X86FaultHandler, type FaultingCpu } from "./x86/fault-adapter.ts";
export { AttributeMap, LINUX_PAT } from "./x86/attributes.ts";
export { X86Structure } from "./x86/structure.ts";
export { TableSource } from "./x86/table-source.ts";
export type { KernelBulk, KernelCpu } from "./x86/kernel-cpu.ts";
export { FlushLog, LOG_DEPTH, LOG_PAGES } from "./tlb/flush-log.ts";
