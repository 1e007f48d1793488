import { calledFrom } from "./places.ts";

const encoder = new TextEncoder();

export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

type Source = Uint8Array | AsyncIterable<Uint8Array> | null;

/** What `init` sends, and the content type that it implies. */
function toSource(init: BodyInit | null | undefined): { source: Source; type: string | null } {
  if (init === null || init === undefined) return { source: null, type: null };
  if (typeof init === "string") return { source: encodeText(init), type: "text/plain;charset=UTF-8" };
  if (init instanceof URLSearchParams) {
    return { source: encodeText(init.toString()), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (init instanceof ArrayBuffer) return { source: new Uint8Array(init.slice(0)), type: null };
  if (ArrayBuffer.isView(init)) {
    return { source: new Uint8Array(init.buffer, init.byteOffset, init.byteLength).slice(), type: null };
  }
  if (typeof (init as AsyncIterable<Uint8Array>)[Symbol.asyncIterator] === "function") {
    return { source: init as AsyncIterable<Uint8Array>, type: null };
  }
  return { source: encodeText(String(init)), type: "text/plain;charset=UTF-8" };
}

export class Body {
  #source: Source;
  #stream: ReadableStream<Uint8Array> | null = null;
  #used = false;
  protected readonly impliedType: string | null;

  constructor(init: BodyInit | null | undefined) {
    const { source, type } = toSource(init);
    this.#source = source;
    this.impliedType = type;
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#stream?.locked ?? false);
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#source === null) return null;
    if (this.#stream === null) {
      const chunks = this.takeChunks()[Symbol.asyncIterator]();
      this.#stream = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          await chunks.return?.(undefined);
        },
      });
      this.#used = false;
    }
    return this.#stream;
  }

  /** The body's chunks, once. */
  takeChunks(): AsyncIterable<Uint8Array> {
    if (this.bodyUsed) throw new TypeError("The body has been read already");
    this.#used = true;
    if (this.#stream !== null) return this.#stream;
    const source = this.#source;
    if (source === null) return none();
    return source instanceof Uint8Array ? once(source) : source;
  }

  hasBody(): boolean {
    return this.#source !== null;
  }

  /** A second body with the same content; this one's goes on to be readable. */
  protected fork(): Source {
    if (this.bodyUsed) throw new TypeError("The body has been read already");
    if (this.#source === null || this.#source instanceof Uint8Array) return this.#source;
    const [mine, theirs] = this.body!.tee();
    this.#source = mine;
    this.#stream = mine;
    return theirs;
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return calledFrom(() => this.#readAll());
  }

  async #readAll(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.bodyUsed) throw new TypeError("The body has been read already");
    if (this.#stream === null && (this.#source === null || this.#source instanceof Uint8Array)) {
      this.#used = true;
      return (this.#source ?? new Uint8Array(0)).slice();
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.takeChunks()) {
      const bytes = typeof chunk === "string" ? encodeText(chunk) : chunk;
      chunks.push(bytes);
      length += bytes.length;
    }
    if (chunks.length === 1) return chunks[0]!.slice();
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return calledFrom(async () => (await this.#readAll()).buffer);
  }

  text(): Promise<string> {
    return calledFrom(async () => decodeText(await this.#readAll()));
  }

  json(): Promise<any> {
    return calledFrom(async () => JSON.parse(decodeText(await this.#readAll())));
  }
}

async function* none(): AsyncIterable<Uint8Array> {}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
