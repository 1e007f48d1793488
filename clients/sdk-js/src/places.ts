// Places in an agent's sources in place of those in its bundle, which are all that the engine knows. The
// builder puts what leads there at the bundle's end (agents/builder/src/source_lines.rs).

interface SourceLines {
  sources: string[];
  lines: string;
}

const SOURCE_LINES = Symbol.for("@phala/agent/source-lines");
// How the engine names the bundle.
const ENGINE_NAME = "componentize-qjs:user.js";
const ENGINE_FRAME = /^ *at .*componentize-qjs:user\.js:\d+(?::\d+)?\)?$/;
const ENGINE_PLACE = /componentize-qjs:user\.js:(\d+)(?::(\d+))?/g;
// The bundle as the builder writes it.
const BUNDLE = "dist/agent.js";

let lines: string[] | undefined;

/** `src/index.ts:12`, or nothing where the developer wrote none of it. Both numbers count from 1. */
function inSource(line: number, column: number): string | undefined {
  const known = (globalThis as any)[SOURCE_LINES] as SourceLines | undefined;
  if (known === undefined) return undefined;
  lines ??= known.lines.split(";");
  const entries = (lines[line - 1] ?? "").split(",").map((entry) => entry.split(" "));
  // The last that begins before; a line's first, if it is indented.
  const [, source, sourceLine] = entries.filter(([from]) => Number(from) < column).at(-1) ?? entries[0]!;
  return sourceLine === undefined ? undefined : `${known.sources[Number(source)]}:${sourceLine}`;
}

function namesASource(text: string): boolean {
  return [...text.matchAll(ENGINE_PLACE)].some(([, line, column]) => inSource(Number(line), Number(column ?? 1)) !== undefined);
}

/**
 * A text, such as an error's stack, with the places that it names in the agent's sources. If it names one,
 * what the SDK did in between is left out: nobody can mend an agent there.
 */
export function withSourcePlaces(text: string): string {
  if (!text.includes(ENGINE_NAME)) return text;
  const hasSource = namesASource(text);
  const told = text.split("\n").filter((line) => !(hasSource && ENGINE_FRAME.test(line) && !namesASource(line)));
  return told.join("\n").replace(ENGINE_PLACE, (_, line: string, column?: string) => {
    return inSource(Number(line), Number(column ?? 1)) ?? `${BUNDLE}:${line}${column === undefined ? "" : `:${column}`}`;
  });
}

/**
 * Does for the agent what ends later. The engine's stacks end at an `await`, so an error of then says
 * nothing of who called: this adds the places that did.
 */
export async function calledFrom<T>(run: () => Promise<T>): Promise<T> {
  const { stack: callers } = new Error();
  try {
    return await run();
  } catch (error) {
    if (error instanceof Error && typeof error.stack === "string" && !namesASource(error.stack)) {
      try {
        error.stack = `${error.stack.trimEnd()}\n${callers ?? ""}`;
      } catch {
        // It is frozen: it says what it said.
      }
    }
    throw error;
  }
}
