// UTF-8, as the WHATWG Encoding Standard has it. Our own because the small polyfills of it are not
// exact (they drop malformed input instead of replacing or refusing it), and the exact ones are large.

const CHUNK = 8_192;
const REPLACEMENT = 0xfffd;

class TextEncoder {
  readonly encoding = "utf-8";

  encode(input = ""): Uint8Array<ArrayBuffer> {
    const text = String(input);
    let bytes = new Uint8Array(text.length);
    let length = 0;
    for (let i = 0; i < text.length; i++) {
      let point = text.charCodeAt(i);
      if (point < 0x80) {
        if (length === bytes.length) bytes = grown(bytes, text.length - i);
        bytes[length++] = point;
        continue;
      }
      if (point >= 0xd800 && point < 0xe000) {
        const low = point < 0xdc00 && i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
        if (low >= 0xdc00 && low < 0xe000) {
          point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
          i++;
        } else {
          point = REPLACEMENT;
        }
      }
      if (length + 4 > bytes.length) bytes = grown(bytes, text.length - i);
      if (point < 0x800) {
        bytes[length++] = 0xc0 | (point >> 6);
      } else {
        if (point < 0x10000) {
          bytes[length++] = 0xe0 | (point >> 12);
        } else {
          bytes[length++] = 0xf0 | (point >> 18);
          bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
        }
        bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      }
      bytes[length++] = 0x80 | (point & 0x3f);
    }
    return length === bytes.length ? bytes : bytes.slice(0, length);
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, left: number): Uint8Array<ArrayBuffer> {
  // The rest takes at most three bytes a unit; four more for a pair at the end.
  const more = new Uint8Array(bytes.length + 3 * left + 4);
  more.set(bytes);
  return more;
}

const LABELS = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];

class TextDecoder {
  readonly encoding = "utf-8";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    if (!LABELS.includes(label.trim().toLowerCase())) throw new RangeError(`Only utf-8 is known here, not ${label}`);
    this.fatal = options.fatal ?? false;
    this.ignoreBOM = options.ignoreBOM ?? false;
  }

  decode(input?: BufferSource, options?: { stream?: boolean }): string {
    if (options?.stream) throw new TypeError("Decoding by parts (stream: true) is not known here");
    if (input === undefined) return "";
    const bytes = ArrayBuffer.isView(input)
      ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      : new Uint8Array(input);
    const units: number[] = [];
    let text = "";
    let i = !this.ignoreBOM && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    while (i < bytes.length) {
      let point = bytes[i++]!;
      if (point >= 0x80) {
        // How many bytes follow, and between what bounds the first of them lies (no overlong forms,
        // no surrogates, nothing above U+10FFFF).
        let more = point >= 0xc2 && point < 0xe0 ? 1 : point >= 0xe0 && point < 0xf0 ? 2 : point >= 0xf0 && point < 0xf5 ? 3 : 0;
        let low = point === 0xe0 ? 0xa0 : point === 0xf0 ? 0x90 : 0x80;
        let high = point === 0xed ? 0x9f : point === 0xf4 ? 0x8f : 0xbf;
        let value = more === 1 ? point & 0x1f : more === 2 ? point & 0x0f : point & 0x07;
        let valid = more > 0;
        while (more > 0) {
          const byte = bytes[i];
          if (byte === undefined || byte < low || byte > high) {
            valid = false;
            break;
          }
          value = (value << 6) | (byte & 0x3f);
          low = 0x80;
          high = 0xbf;
          i++;
          more--;
        }
        if (!valid && this.fatal) throw new TypeError("The bytes are not UTF-8");
        point = valid ? value : REPLACEMENT;
      }
      if (point < 0x10000) units.push(point);
      else units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
      if (units.length >= CHUNK) {
        text += String.fromCharCode.apply(null, units);
        units.length = 0;
      }
    }
    return text + String.fromCharCode.apply(null, units);
  }
}

// Before all else: the other modules make encoders while they are set up.
Object.defineProperty(globalThis, "TextEncoder", { value: TextEncoder, configurable: true, writable: true });
Object.defineProperty(globalThis, "TextDecoder", { value: TextDecoder, configurable: true, writable: true });
export {};
