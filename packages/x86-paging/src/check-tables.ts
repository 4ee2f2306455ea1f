/** The mapper's checker: walks everything under a root. */

import { PagingError } from "./errors.ts";
import type { TableEditor } from "./table-editor.ts";
import type { Pfn } from "./units.ts";

/**
 * Counts the table frames under a root, root included. Throws `inconsistent` where a table other than the root is empty, is its own ancestor,
 * or has more parents than its share count says.
 */
export function checkTables(editor: TableEditor, root: Pfn): number {
  editor.shares.check();
  const parents = new Map<Pfn, number>([[root, 1]]);
  const path = new Set<Pfn>();
  const visit = (table: Pfn, n: number): void => {
    path.add(table);
    const level = editor.level(n);
    for (let i = 0; i < level.entries; i++) {
      editor.read(table, i);
      if (!editor.isPresent || editor.isLeaf(level)) continue;
      const child = editor.tableFrame(level);
      if (path.has(child))
        throw new PagingError(
          "inconsistent",
          `${level.name} entry ${i} of table ${table} refers to its own ancestor ${child}`,
          { table, child },
        );
      const seen = parents.get(child) ?? 0;
      parents.set(child, seen + 1);
      if (seen + 1 > editor.shares.count(child)) {
        throw new PagingError(
          "inconsistent",
          `table ${child} has ${seen + 1} parents, ${editor.shares.count(child)} counted`,
          { child },
        );
      }
      if (seen === 0) visit(child, n - 1);
    }
    path.delete(table);
    if (table !== root && editor.shares.count(table) < 2 && editor.isEmptyTable(table)) {
      throw new PagingError("inconsistent", `table ${table} of level ${n} is empty and was not freed`, {
        table,
        level: n,
      });
    }
  };
  visit(root, editor.mode.depth);
  return parents.size;
}
