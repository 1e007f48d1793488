import entropy from "phala:agent/entropy@0.1.0";
import { callHost } from "./host.ts";
import { isServing } from "./phase.ts";

const QUOTA_BYTES = 65_536;

export const crypto = {
  getRandomValues<T extends ArrayBufferView>(array: T): T {
    if (!ArrayBuffer.isView(array) || array instanceof Float32Array || array instanceof Float64Array) {
      throw new DOMException("getRandomValues takes an array of integers", "TypeMismatchError");
    }
    if (array.byteLength > QUOTA_BYTES) {
      throw new DOMException(`getRandomValues gives at most ${QUOTA_BYTES} bytes at once`, "QuotaExceededError");
    }
    const bytes = callHost("crypto.getRandomValues", () => entropy.bytes(array.byteLength));
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
    return array;
  },

  randomUUID(): string {
    const bytes = callHost("crypto.randomUUID", () => entropy.bytes(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  },
};

// The engine's own Math.random has its seed in the snapshot: every request would see the same
// numbers. This one (sfc32) is seeded by the host at its first use in a request.
const engineRandom = Math.random;
let state: Uint32Array | undefined;

function next(s: Uint32Array): number {
  const sum = (s[0]! + s[1]! + s[3]!) | 0;
  s[3] = s[3]! + 1;
  s[0] = s[1]! ^ (s[1]! >>> 9);
  s[1] = s[2]! + (s[2]! << 3);
  s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + sum;
  return sum >>> 0;
}

export function random(): number {
  // At build time libraries may draw a number while they are set up; nothing secret is at stake.
  if (!isServing()) return engineRandom();
  if (state === undefined) {
    state = new Uint32Array(entropy.bytes(16).slice().buffer);
    for (let i = 0; i < 12; i++) next(state);
  }
  return ((next(state) >>> 5) * 67_108_864 + (next(state) >>> 6)) / 9_007_199_254_740_992;
}
