/*
 * A model checker: runs the package's own lock-free sources in every order of their atomic steps. A source is turned into
 * generators mechanically (every method yields before each atomic operation and each access to a field that other threads change), so what is
 * explored is what ships. A state is the shared memory plus, per thread, everything that the thread has read: both equal
 * means that all that follows is equal, so each state is explored once.
 */
import { readFileSync } from "node:fs";

import ts from "typescript";

type Module = Record<string, unknown>;

/** What a thread of a scenario runs: a generator that yields before each step. */
export type Steps = Generator<unknown, unknown>;

let note: (value: unknown) => void = () => undefined;

/** Reports the value of an atomic step to the explorer. */
function noted<T>(value: T): T {
  note(value);
  return value;
}

const { factory } = ts;

/** The names of all methods of the classes in a source, constructors and accessors apart. */
function methodsOf(source: ts.SourceFile): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isMethodDeclaration(node)) names.push(node.name.getText(source));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** True for `this.#field[…]` of a field whose elements other threads change. */
function isSharedAccess(node: ts.Node, shared: ReadonlySet<string>): boolean {
  return (
    ts.isElementAccessExpression(node)
    && ts.isPropertyAccessExpression(node.expression)
    && shared.has(node.expression.name.text)
  );
}

/** Yield, then the step, then its value to the explorer. */
function asStep(step: ts.Expression): ts.Expression {
  const call = factory.createCallExpression(factory.createIdentifier("__noted"), undefined, [step]);
  return factory.createParenthesizedExpression(
    factory.createComma(factory.createYieldExpression(undefined, undefined), call),
  );
}

function steppingTransformer(
  methods: ReadonlySet<string>,
  shared: ReadonlySet<string>,
): ts.TransformerFactory<ts.SourceFile> {
  return (context) => {
    const inMethod = (node: ts.Node): ts.Node => {
      if (
        ts.isBinaryExpression(node)
        && node.operatorToken.kind === ts.SyntaxKind.EqualsToken
        && isSharedAccess(node.left, shared)
      ) {
        return asStep(factory.updateBinaryExpression(node, node.left, node.operatorToken, inner(node.right)));
      }
      const visited = ts.visitEachChild(node, inMethod, context);
      if (isSharedAccess(visited, shared)) return asStep(visited as ts.Expression);
      if (!ts.isCallExpression(visited) || !ts.isPropertyAccessExpression(visited.expression)) return visited;
      const { expression, name } = visited.expression;
      if (ts.isIdentifier(expression) && expression.text === "Atomics") return asStep(visited);
      if (!methods.has(name.text) || (ts.isIdentifier(expression) && expression.text === "Math")) return visited;
      return factory.createParenthesizedExpression(
        factory.createYieldExpression(factory.createToken(ts.SyntaxKind.AsteriskToken), visited),
      );
    };
    const inner = (node: ts.Expression): ts.Expression => ts.visitNode(node, inMethod) as ts.Expression;
    const outside = (node: ts.Node): ts.Node => {
      if (!ts.isMethodDeclaration(node)) return ts.visitEachChild(node, outside, context);
      const body = ts.visitNode(node.body, inMethod) as ts.Block;
      const star = factory.createToken(ts.SyntaxKind.AsteriskToken);
      return factory.updateMethodDeclaration(
        node,
        node.modifiers,
        star,
        node.name,
        undefined,
        undefined,
        node.parameters,
        undefined,
        body,
      );
    };
    return (file) => ts.visitNode(file, outside) as ts.SourceFile;
  };
}

/** A source whose methods are to run step by step. */
export interface SteppedSource {
  readonly file: URL;
  /** The private fields that hold words or bytes which other threads change: reading or writing one is a step. */
  readonly shared: readonly string[];
}

/** Loads sources with their methods as generators; other modules that they import are taken from `others`. */
export function stepping(
  files: readonly SteppedSource[],
  others: Readonly<Record<string, Module>>,
): Record<string, Module> {
  const sources = files.map(({ file, shared }) => {
    const text = readFileSync(file, "utf8");
    return { name: `./${file.pathname.split("/").at(-1) ?? ""}`, text, shared: new Set(shared) };
  });
  const methods = new Set(
    sources.flatMap(({ name, text }) => methodsOf(ts.createSourceFile(name, text, ts.ScriptTarget.ES2023, true))),
  );
  const loaded: Record<string, Module> = { ...others };
  for (const { name, text, shared } of sources) {
    const { outputText } = ts.transpileModule(text, {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.CommonJS },
      transformers: { before: [steppingTransformer(methods, shared)] },
    });
    const exports: Module = {};
    const load = (wanted: string): Module => {
      const found = loaded[wanted];
      if (found === undefined) throw new Error(`${name} imports ${wanted}, which the model does not provide`);
      return found;
    };
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- runs the shipped source, rewritten to stop at every atomic step
    const run = new Function("require", "exports", "__noted", outputText) as (
      require: typeof load,
      exports: Module,
      note: typeof noted,
    ) => void;
    run(load, exports, noted);
    loaded[name] = exports;
  }
  return loaded;
}

/** One instance to explore. */
export interface Scenario {
  /** Puts the shared memory back to the start and returns the threads, none of which has run. */
  start(): Steps[];
  /** The shared memory that the threads work on, as one string or number list to compare states by. */
  memory(): Int32Array;
  /** Called when all threads that live are done; throws if the outcome is wrong. `died` is the thread that was stopped, or −1. */
  verify(died: number): void;
  /** True to stop, in turn, one thread at each of its steps for good. */
  readonly deaths: boolean;
}

/** What an exploration saw. */
export interface Explored {
  readonly states: number;
  readonly outcomes: number;
}

const KILL = 100;

/** Runs a scenario in every order. Throws the first wrong outcome with the order that leads to it. */
export function explore(scenario: Scenario): Explored {
  const visited = new Set<string>();
  const open: number[][] = [[]];
  let outcomes = 0;
  for (let prefix = open.pop(); prefix !== undefined; prefix = open.pop()) {
    const run = new Run(scenario);
    for (const choice of prefix) run.choose(choice);
    for (;;) {
      const key = run.key();
      if (visited.has(key)) break;
      visited.add(key);
      const choices = run.choices(scenario.deaths);
      const first = choices[0];
      if (first === undefined) {
        outcomes += 1;
        run.finish();
        break;
      }
      for (const other of choices.slice(1)) open.push([...run.schedule, other]);
      run.choose(first);
    }
  }
  return { states: visited.size, outcomes };
}

/** One execution, step by step. */
class Run {
  readonly schedule: number[] = [];
  readonly #scenario: Scenario;
  readonly #threads: Steps[];
  readonly #done: boolean[];
  readonly #read: number[];
  #died = -1;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#threads = scenario.start();
    this.#done = this.#threads.map(() => false);
    this.#read = this.#threads.map(() => 1);
    this.#threads.forEach((_, thread) => this.#advance(thread));
  }

  choices(deaths: boolean): number[] {
    const live = this.#threads.map((_, thread) => thread).filter((thread) => !this.#done[thread]);
    return deaths && this.#died < 0 ? [...live, ...live.map((thread) => thread + KILL)] : live;
  }

  choose(choice: number): void {
    this.schedule.push(choice);
    if (choice < KILL) this.#advance(choice);
    else {
      this.#died = choice - KILL;
      this.#done[this.#died] = true;
    }
  }

  key(): string {
    return `${this.#scenario.memory().join()}|${this.#read.join()}|${this.#done.join()}|${this.#died}`;
  }

  finish(): void {
    try {
      this.#scenario.verify(this.#died);
    } catch (error) {
      throw new Error(`In the order ${this.schedule.join(" ")}: ${String(error)}`, { cause: error });
    }
  }

  /** Runs a thread over its next step, up to the yield before the one after. */
  #advance(thread: number): void {
    note = (value) => {
      const number = typeof value === "number" ? value : Number(value === true);
      this.#read[thread] = (Math.imul(this.#read[thread] ?? 0, 0x0100_0193) ^ (number + 0x9e37)) + 7;
    };
    try {
      if (this.#threads[thread]?.next().done === true) this.#done[thread] = true;
    } catch (error) {
      throw new Error(`In the order ${this.schedule.join(" ")}: ${String(error)}`, { cause: error });
    }
  }
}
