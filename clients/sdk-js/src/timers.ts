import timers from "phala:agent/timers@0.1.0";
import { callHost } from "./host.ts";

const DELAY_MAX_MS = 2 ** 31 - 1;
const pending = new Map<number, WitFuture<unknown>>();
let lastId = 0;

function wait(id: number, milliseconds: number, run: () => void): void {
  const delay = Math.min(Math.max(Math.trunc(milliseconds) || 0, 0), DELAY_MAX_MS);
  const future = callHost("A timer", () => timers.sleep(delay));
  pending.set(id, future);
  future.read().then(
    () => {
      if (pending.get(id) === future) run();
    },
    () => pending.delete(id),
  );
}

export function setTimeout<A extends unknown[]>(handler: (...args: A) => void, milliseconds = 0, ...args: A): number {
  const id = ++lastId;
  wait(id, milliseconds, () => {
    pending.delete(id);
    handler(...args);
  });
  return id;
}

export function setInterval<A extends unknown[]>(handler: (...args: A) => void, milliseconds = 0, ...args: A): number {
  const id = ++lastId;
  const again = () => {
    wait(id, milliseconds, again);
    handler(...args);
  };
  wait(id, milliseconds, again);
  return id;
}

export function clearTimeout(id?: number): void {
  const future = id === undefined ? undefined : pending.get(id);
  if (future === undefined) return;
  pending.delete(id!);
  try {
    future.cancelRead();
  } catch {
    // It has fired already.
  }
}
