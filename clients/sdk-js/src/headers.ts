const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function toName(name: unknown): string {
  const lower = String(name).toLowerCase();
  if (!NAME.test(lower)) throw new TypeError(`Not a header name: ${JSON.stringify(lower)}`);
  return lower;
}

function toValue(value: unknown): string {
  const text = String(value).replace(/^[\t\r\n ]+|[\t\r\n ]+$/g, "");
  if (/[\0\r\n]/.test(text)) throw new TypeError("A header value has no line break and no NUL");
  return text;
}

export class Headers {
  // Each value apart, so that several Set-Cookie headers stay several.
  #values = new Map<string, string[]>();

  constructor(init?: HeadersInit) {
    if (init === undefined || init === null) return;
    if (init instanceof Headers) {
      for (const [name, value] of init.raw()) this.append(name, value);
    } else if (typeof (init as Iterable<unknown>)[Symbol.iterator] === "function") {
      for (const [name, value] of init as Iterable<readonly [string, string]>) this.append(name, value);
    } else {
      for (const [name, value] of Object.entries(init)) this.append(name, value as string);
    }
  }

  append(name: string, value: string): void {
    const key = toName(name);
    const values = this.#values.get(key);
    if (values) values.push(toValue(value));
    else this.#values.set(key, [toValue(value)]);
  }

  delete(name: string): void {
    this.#values.delete(toName(name));
  }

  get(name: string): string | null {
    return this.#values.get(toName(name))?.join(", ") ?? null;
  }

  getSetCookie(): string[] {
    return [...(this.#values.get("set-cookie") ?? [])];
  }

  has(name: string): boolean {
    return this.#values.has(toName(name));
  }

  set(name: string, value: string): void {
    this.#values.set(toName(name), [toValue(value)]);
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void): void {
    for (const [name, value] of this.entries()) callback(value, name, this);
  }

  *entries(): IterableIterator<[string, string]> {
    for (const name of [...this.#values.keys()].sort()) {
      const values = this.#values.get(name)!;
      if (name === "set-cookie") for (const value of values) yield [name, value];
      else yield [name, values.join(", ")];
    }
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  /** As they go over the wire: one pair for each value that was appended. */
  raw(): [string, string][] {
    return [...this.#values].flatMap(([name, values]) => values.map((value): [string, string] => [name, value]));
  }
}
