import js from "@eslint/js";
import prettier from "eslint-config-prettier";
import jsdoc from "eslint-plugin-jsdoc";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

import { boundaries, pagewright } from "@pagewright/tooling/eslint";

const ALL = ["x86-paging", "machine", "pmm", "vmm", "heap", "stack"].map((name) => `@pagewright/${name}`);

export default defineConfig(
  {
    ignores: [
      "**/dist/",
      "**/node_modules/",
      "**/coverage/",
      "docs/api/",
      "**/*.mjs",
      "**/*.js",
      "**/*.cjs",
      "**/*.d.mts",
    ],
  },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  prettier,
  {
    languageOptions: { parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname } },
    plugins: { jsdoc, pagewright },
    rules: {
      "pagewright/bang-only-on-typed-array-reads": "error",
      "pagewright/no-lossy-address-arithmetic": "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/consistent-type-exports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unnecessary-condition": ["error", { allowConstantLoopConditions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/prefer-literal-enum-member": "off",
      eqeqeq: "error",
      "no-restricted-syntax": [
        "error",
        { selector: "ExportAllDeclaration", message: "Re-export by name: index.ts is a table of contents." },
        { selector: "TSEnumDeclaration", message: "Use a const object and a union." },
      ],
    },
  },
  {
    files: ["packages/*/src/**/*.ts"],
    rules: {
      "jsdoc/require-jsdoc": [
        "error",
        {
          publicOnly: true,
          enableFixer: false,
          require: {
            FunctionDeclaration: true,
            ClassDeclaration: true,
            MethodDefinition: true,
            ArrowFunctionExpression: false,
          },
          contexts: [
            "TSInterfaceDeclaration",
            "TSTypeAliasDeclaration",
            "ExportNamedDeclaration > VariableDeclaration",
          ],
          checkConstructors: false,
          checkGetters: true,
        },
      ],
      "no-console": "error",
    },
  },
  {
    files: [
      "packages/*/test/**/*.ts",
      "packages/*/bench/**/*.ts",
      "examples/**/*.ts",
      "benchmarks/**/*.ts",
      "tooling/**/*.ts",
    ],
    rules: {
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: ["describe", "test", "it"], package: "vitest" }] },
      ],
    },
  },
  ...boundaries("packages/x86-paging", []),
  ...boundaries(
    "packages/machine",
    ["@pagewright/x86-paging"],
    ["packages/machine/src/node.ts", "packages/machine/src/node/**/*.ts"],
  ),
  ...boundaries("packages/pmm", [], ["packages/pmm/src/node.ts", "packages/pmm/src/node/**/*.ts"]),
  ...boundaries("packages/vmm", [], ["packages/vmm/src/node.ts", "packages/vmm/src/node/**/*.ts"], {
    "packages/vmm/src/x86.ts": ["@pagewright/x86-paging"],
    "packages/vmm/src/x86/**/*.ts": ["@pagewright/x86-paging"],
  }),
  ...boundaries("packages/heap", [], ["packages/heap/src/node.ts", "packages/heap/src/node/**/*.ts"]),
  ...boundaries("packages/stack", ALL),
  ...boundaries("packages/cli", ALL, ["packages/cli/src/**/*.ts"]),
);
