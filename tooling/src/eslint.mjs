import ts from "typescript";

/** @import { Rule } from "eslint" */
/** @import { ParserServicesWithTypeInformation } from "@typescript-eslint/utils" */

const TYPED_ARRAYS = new Set([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
]);

/** Names that by this repository's convention hold an address, a frame number or a page number. */
const ADDRESS_NAME = /^(?:va|pa|vpn|pfn)$|(?:Va|Vpn|Pfn)$/;

/** The flavours on which 32-bit and remainder operators lose bits. */
const ADDRESS_UNIT = /"(?:PhysAddr|VirtAddr|Pfn|Vpn)"/;

const LOSSY = new Set(["%", "<<", ">>", "|", "^", "%=", "<<=", ">>=", "|=", "^="]);

/**
 * @param {Rule.RuleContext} context
 * @returns {ParserServicesWithTypeInformation}
 */
function servicesOf(context) {
  return /** @type {ParserServicesWithTypeInformation} */ (context.sourceCode.parserServices);
}

/** `!` may stand only directly on a typed-array read: there the index is in range by the invariant of the structure. */
/** @type {Rule.RuleModule} */
const bangOnlyOnTypedArrayReads = {
  meta: {
    type: "problem",
    schema: [],
    messages: { bang: "`!` may stand only directly on a typed-array read." },
  },
  create(context) {
    const services = servicesOf(context);
    return {
      TSNonNullExpression(/** @type {any} */ node) {
        const inner = node.expression;
        if (inner.type === "MemberExpression" && inner.computed) {
          const checker = services.program.getTypeChecker();
          const type = checker.getTypeAtLocation(services.esTreeNodeToTSNodeMap.get(inner.object));
          const parts = type.isUnion() ? type.types : [type];
          if (parts.every((part) => TYPED_ARRAYS.has(part.getSymbol()?.getName() ?? ""))) return;
        }
        context.report({ node, messageId: "bang" });
      },
    };
  },
};

/** `% << >> | ^` work on 32 bits (or give −0) and so lose part of an address. */
/** @type {Rule.RuleModule} */
const noLossyAddressArithmetic = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      lossy: "`{{operator}}` on an address loses bits: use Math.floor(address / 2 ** n), `>>> 0` or `& mask`.",
    },
  },
  create(context) {
    const services = servicesOf(context);
    /** @param {any} node */
    function isAddress(node) {
      const name =
        node.type === "Identifier"
          ? node.name
          : node.type === "MemberExpression" && !node.computed
            ? node.property.name
            : "";
      const type = services.program.getTypeChecker().getTypeAtLocation(services.esTreeNodeToTSNodeMap.get(node));
      if (ADDRESS_NAME.test(name)) return (type.flags & (ts.TypeFlags.NumberLike | ts.TypeFlags.Intersection)) !== 0;
      const unit = type.getProperty("__unit");
      if (unit === undefined) return false;
      const checker = services.program.getTypeChecker();
      return ADDRESS_UNIT.test(checker.typeToString(checker.getTypeOfSymbol(unit)));
    }
    /** @param {any} node */
    function check(node) {
      if (!LOSSY.has(node.operator)) return;
      if (isAddress(node.left) || (/^[%|^]/.test(node.operator) && isAddress(node.right)))
        context.report({ node, messageId: "lossy", data: { operator: node.operator } });
    }
    return { BinaryExpression: check, AssignmentExpression: check };
  },
};

/** The repository's own rules. */
export const pagewright = {
  meta: { name: "pagewright" },
  rules: {
    "bang-only-on-typed-array-reads": bangOnlyOnTypedArrayReads,
    "no-lossy-address-arithmetic": noLossyAddressArithmetic,
  },
};

/**
 * The import rules of one package.
 *
 * @param {string[]} allowed sibling packages that it may import at run time
 * @param {string[]} nodeFiles globs of its files that may import `node:` modules
 * @param {string} folder the package's folder
 * @param {Record<string, string[]>} [extra] globs of files that may import more siblings
 */
export function boundaries(folder, allowed, nodeFiles = [], extra = {}) {
  const siblings = ["x86-paging", "machine", "pmm", "vmm", "heap", "stack"].map((name) => `@pagewright/${name}`);
  /** @param {string[]} names @param {boolean} node */
  const restrict = (names, node) => ({
    "no-restricted-imports": [
      "error",
      {
        patterns: [
          {
            group: siblings
              .filter((name) => !names.includes(name))
              .flatMap((name) => [name, `${name}/*`])
              .concat(["pagewright"]),
            message: `${folder} may import ${names.length === 0 ? "no sibling" : `only ${names.join(", ")}`}.`,
          },
          {
            group: ["**/packages/**", "@pagewright/*/src/**", "@pagewright/*/dist/**"],
            message: "Import a package by its public name.",
          },
          {
            regex: "\\.\\./(?:x86-paging|machine|pmm|vmm|heap|stack|cli|tooling)/",
            message: "No package reaches into another's folder.",
          },
          ...(node
            ? []
            : [
                {
                  group: ["node:*"],
                  message: "Core entry points run in browsers: what needs Node lives under ./node.",
                },
              ]),
        ],
      },
    ],
  });
  return [
    { files: [`${folder}/src/**/*.ts`], ignores: nodeFiles, rules: restrict(allowed, false) },
    ...(nodeFiles.length === 0 ? [] : [{ files: nodeFiles, rules: restrict(allowed, true) }]),
    ...Object.entries(extra).map(([glob, names]) => ({
      files: [glob],
      rules: restrict([...allowed, ...names], false),
    })),
  ];
}
