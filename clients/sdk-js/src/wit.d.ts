// The shapes in which the engine hands over what the WIT in `enclave/sandbox/wit` declares.

interface WitFuture<T> {
  read(): Promise<T>;
  cancelRead(): unknown;
  drop(): void;
}
type WitResult<T> = { tag: "ok"; val: T } | { tag: "err"; val: WitHostError };
interface WitHostError {
  code: string;
  message: string;
}
interface WitStreamReadable {
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>;
}
type WitHeaders = [string, string][];

declare var wit: {
  Stream: {
    from(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, type: number): { readable: WitStreamReadable };
    types: Record<string, number>;
  };
  Future: {
    from(value: unknown, type: number): { readable: WitFuture<unknown> };
    types: Record<string, number>;
  };
};

declare module "phala:agent/context@0.1.0" {
  const context: {
    get(): {
      agent: Uint8Array;
      caller: Uint8Array | null;
      requestId: Uint8Array;
      block: { number: number; hash: Uint8Array };
      codeHash: Uint8Array;
      idempotencyKey: string;
      attempt: number;
      callDepth: number;
      writable: boolean;
      config: [string, string][];
    };
  };
  export default context;
}
declare module "phala:agent/state@0.1.0" {
  const state: {
    get(key: string): WitFuture<WitResult<Uint8Array | null>>;
    set(key: string, value: Uint8Array): void;
    delete(key: string): void;
    scan(prefix: string, after: string | null, limit: number): WitFuture<WitResult<{ key: string; value: Uint8Array }[]>>;
  };
  export default state;
}
declare module "phala:agent/secrets@0.1.0" {
  const secrets: { get(name: string): WitFuture<WitResult<string | null>> };
  export default secrets;
}
declare module "phala:agent/fetch@0.1.0" {
  const fetch: {
    send(request: {
      method: string;
      url: string;
      headers: WitHeaders;
      body: Uint8Array | null;
      redirect: "follow" | "error" | "manual";
      timeoutMs: number | null;
    }): WitFuture<
      WitResult<{
        status: number;
        url: string;
        redirected: boolean;
        headers: WitHeaders;
        body: Uint8Array;
        authenticated: boolean;
      }>
    >;
  };
  export default fetch;
}
declare module "phala:agent/agents@0.1.0" {
  const agents: {
    call(
      agent: Uint8Array,
      request: { method: string; path: string; headers: WitHeaders; body: Uint8Array },
    ): WitFuture<WitResult<{ status: number; headers: WitHeaders; body: Uint8Array }>>;
  };
  export default agents;
}
declare module "phala:agent/log@0.1.0" {
  const log: { write(level: "debug" | "info" | "warn" | "error", message: string): void };
  export default log;
}
declare module "phala:agent/entropy@0.1.0" {
  const entropy: { bytes(length: number): Uint8Array };
  export default entropy;
}
declare module "phala:agent/timers@0.1.0" {
  const timers: { sleep(milliseconds: number): WitFuture<WitResult<undefined>> };
  export default timers;
}
declare module "wasi:http/types@0.3.0" {
  type HttpMethod = { tag: string; val?: string };
  class Fields {
    static fromList(entries: [string, Uint8Array][]): Fields;
    copyAll(): [string, Uint8Array][];
  }
  class Request {
    getMethod(): HttpMethod;
    getPathWithQuery(): string | null;
    getScheme(): { tag: string; val?: string } | null;
    getAuthority(): string | null;
    getHeaders(): Fields;
    static consumeBody(request: Request, result: unknown): [WitStreamReadable, WitFuture<unknown>];
  }
  class Response {
    static new(headers: Fields, contents: WitStreamReadable | null, trailers: unknown): [Response, WitFuture<unknown>];
    setStatusCode(status: number): void;
  }
  const types: { Fields: typeof Fields; Request: typeof Request; Response: typeof Response };
  export type { Request as WasiRequest, Response as WasiResponse };
  export default types;
}

declare module "core-js/actual/url/index.js";
declare module "core-js/actual/url-search-params/index.js";
declare module "core-js/actual/structured-clone.js";
declare module "event-target-shim" {
  export const EventTarget: any;
  export const Event: any;
}
