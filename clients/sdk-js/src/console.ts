import log from "phala:agent/log@0.1.0";
import { isServing } from "./phase.ts";
import { withSourcePlaces } from "./places.ts";

const DEPTH_MAX = 4;

function inspect(value: unknown, depth: number, seen: unknown[]): string {
  if (typeof value === "string") return depth === 0 ? value : JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[Function ${value.name || "anonymous"}]`;
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}` : String(value);
  if (seen.includes(value)) return "[Circular]";
  if (depth >= DEPTH_MAX) return Array.isArray(value) ? "[Array]" : "[Object]";
  const inner = (v: unknown) => inspect(v, depth + 1, [...seen, value]);
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength} bytes)`;
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`;
  if (value instanceof Map) return `Map {${[...value].map(([k, v]) => `${inner(k)} => ${inner(v)}`).join(", ")}}`;
  if (value instanceof Set) return `Set {${[...value].map(inner).join(", ")}}`;
  if (value instanceof Date) return value.toISOString();
  const name = value.constructor?.name;
  const fields = Object.entries(value).map(([k, v]) => `${k}: ${inner(v)}`);
  return `${name && name !== "Object" ? `${name} ` : ""}{${fields.join(", ")}}`;
}

function write(level: "debug" | "info" | "warn" | "error", data: unknown[]): void {
  // While the agent is built there is no log to write to.
  if (isServing()) log.write(level, withSourcePlaces(data.map((value) => inspect(value, 0, [])).join(" ")));
}

export const console = {
  debug: (...data: unknown[]) => write("debug", data),
  trace: (...data: unknown[]) => write("debug", data),
  log: (...data: unknown[]) => write("info", data),
  info: (...data: unknown[]) => write("info", data),
  warn: (...data: unknown[]) => write("warn", data),
  error: (...data: unknown[]) => write("error", data),
  assert: (condition?: boolean, ...data: unknown[]) => {
    if (!condition) write("error", ["Assertion failed", ...data]);
  },
};
