import { requireServing } from "./phase.ts";
import { calledFrom } from "./places.ts";

/** What the host refused, with the code that the WIT gives it. */
export class HostError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
  override get name(): "HostError" {
    return "HostError";
  }
}

export function isHostError(error: unknown): error is HostError {
  return error instanceof HostError;
}

function toError(reason: WitHostError): HostError {
  return new HostError(reason.code, reason.message);
}

/** Calls the host for an answer that it gives at once. */
export function callHost<T>(what: string, call: () => T): T {
  requireServing(what);
  try {
    return call();
  } catch (reason) {
    // The engine throws an Error that carries the interface's own error.
    const payload = (reason as { payload?: WitHostError } | null)?.payload;
    throw payload?.code === undefined ? reason : toError(payload);
  }
}

/** Calls the host for an answer that it gives later. */
export function awaitHost<T>(what: string, call: () => WitFuture<WitResult<T>>): Promise<T> {
  return calledFrom(async () => {
    const result = await callHost(what, call).read();
    if (result.tag === "err") throw toError(result.val);
    return result.val;
  });
}

export function toHex(bytes: Uint8Array): `0x${string}` {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return `0x${text}`;
}

export function fromHex(text: string): Uint8Array {
  if (!/^0x([0-9a-f]{2})*$/i.test(text)) {
    throw new TypeError("Not hexadecimal: expected 0x and an even number of digits.");
  }
  const bytes = new Uint8Array((text.length - 2) / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 + 2 * i, 4 + 2 * i), 16);
  return bytes;
}
