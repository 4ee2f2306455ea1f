/**
 * The auditor of a whole stack: what no layer can see of itself. It trusts nobody: tables are walked by a walk of its own, and
 * frames are counted in a ledger that the layers do not know of.
 */
import type { Stack } from "../stack.ts";
import { Findings } from "./findings.ts";
import type { AuditReport } from "./findings.ts";
import { auditPlaces } from "./places.ts";
import { auditTlbs, auditTranslations } from "./translations.ts";

/**
 * Returns what is true of a stack at this moment; it changes nothing. DESIGN.md lists the facts.
 *
 * Cost: every entry of every table, every TLB entry and every frame that is handed out, about 100 ns each.
 */
export function audit(stack: Stack): AuditReport {
  const findings = new Findings();
  findings.layer("the machine", () => stack.machine.check());
  findings.layer("the frame allocator", () => stack.pmm.check());
  findings.layer("the memory manager", () => stack.vmm.check());
  if (stack.pool !== null) findings.layer("the compressed pool", () => stack.pool?.check());
  const translations = auditTranslations(stack, stack.mode, findings);
  auditTlbs(stack, findings);
  auditPlaces(stack, translations, findings);
  return findings.report();
}
