import { EventTarget as EventTargetShim } from "event-target-shim";
import { setTimeout } from "./timers.ts";

const token = Symbol("only AbortController makes signals");

export class AbortSignal extends EventTargetShim {
  #aborted = false;
  #reason: unknown = undefined;
  onabort: ((event: Event) => void) | null = null;

  constructor(key?: symbol) {
    super();
    if (key !== token) throw new TypeError("Illegal constructor: use AbortController");
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  static trip(signal: AbortSignal, reason: unknown): void {
    if (signal.#aborted) return;
    signal.#aborted = true;
    signal.#reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason;
    const event = new Event("abort");
    signal.onabort?.(event);
    (signal as unknown as EventTarget).dispatchEvent(event);
  }

  static make(): AbortSignal {
    return new AbortSignal(token);
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = AbortSignal.make();
    AbortSignal.trip(signal, reason);
    return signal;
  }

  static timeout(milliseconds: number): AbortSignal {
    const signal = AbortSignal.make();
    setTimeout(() => AbortSignal.trip(signal, new DOMException("The operation timed out", "TimeoutError")), milliseconds);
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const joined = AbortSignal.make();
    for (const signal of signals) whenAborted(signal, () => AbortSignal.trip(joined, signal.reason));
    return joined;
  }
}

export class AbortController {
  readonly signal = AbortSignal.make();
  abort(reason?: unknown): void {
    AbortSignal.trip(this.signal, reason);
  }
}

export function whenAborted(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else (signal as unknown as EventTarget).addEventListener("abort", run, { once: true });
}

