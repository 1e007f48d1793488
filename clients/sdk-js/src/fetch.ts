import hostFetch from "phala:agent/fetch@0.1.0";
import { AbortSignal, whenAborted } from "./abort.ts";
import { Body } from "./body.ts";
import { Headers } from "./headers.ts";
import { callHost, HostError } from "./host.ts";
import { requireServing } from "./phase.ts";
import { calledFrom } from "./places.ts";

const METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const STATUS_WITHOUT_BODY = [101, 103, 204, 205, 304];

function toMethod(method: string): string {
  const upper = method.toUpperCase();
  return METHODS.includes(upper) ? upper : method;
}

export class Request extends Body {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly redirect: "follow" | "error" | "manual";
  readonly signal: AbortSignal;

  constructor(input: string | URL | Request, init: RequestInit = {}) {
    const from = input instanceof Request ? input : null;
    const method = toMethod(init.method ?? from?.method ?? "GET");
    const body = init.body !== undefined ? init.body : from?.hasBody() ? (from.takeChunks() as BodyInit) : null;
    if (body !== null && (method === "GET" || method === "HEAD")) throw new TypeError(`A ${method} request has no body`);
    super(body);
    this.method = method;
    this.url = from ? from.url : new URL(String(input)).href;
    this.headers = new Headers((init.headers ?? from?.headers) as HeadersInit | undefined);
    if (this.impliedType !== null && !this.headers.has("content-type")) this.headers.set("content-type", this.impliedType);
    this.redirect = init.redirect ?? from?.redirect ?? "follow";
    this.signal = (init.signal as unknown as AbortSignal | undefined) ?? from?.signal ?? AbortSignal.make();
  }

  clone(): Request {
    const { method, headers, redirect, signal } = this;
    const body = this.fork() as BodyInit | null;
    return new Request(this.url, { method, headers: headers as unknown as HeadersInit, redirect, signal: signal as any, body });
  }
}

interface Received {
  url: string;
  redirected: boolean;
  authenticated: boolean;
}

export class Response extends Body {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  #received: Received | null = null;

  constructor(body?: BodyInit | null, init: ResponseInit = {}) {
    super(body);
    this.status = init.status ?? 200;
    if (!Number.isInteger(this.status) || this.status < 200 || this.status > 599) {
      throw new RangeError(`Not a status for a response: ${this.status}; expected 200 to 599`);
    }
    if (this.hasBody() && STATUS_WITHOUT_BODY.includes(this.status)) {
      throw new TypeError(`A response with status ${this.status} has no body`);
    }
    this.statusText = init.statusText ?? "";
    this.headers = new Headers(init.headers);
    if (this.impliedType !== null && !this.headers.has("content-type")) this.headers.set("content-type", this.impliedType);
  }

  static json(data: unknown, init: ResponseInit = {}): Response {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(data), { ...init, headers: headers as unknown as HeadersInit });
  }

  static redirect(url: string | URL, status = 302): Response {
    return new Response(null, { status, headers: { location: new URL(String(url)).href } });
  }

  static error(): Response {
    return new Response(null, { status: 502 });
  }

  static received(
    status: number,
    headers: WitHeaders,
    body: Uint8Array,
    received: Received | null,
  ): Response {
    // A server may answer 204 with an empty body, or 1xx and 6xx that no constructor accepts.
    const content = STATUS_WITHOUT_BODY.includes(status) ? null : (body as Uint8Array<ArrayBuffer>);
    const response = new Response(content, { status: Math.min(Math.max(status, 200), 599), headers });
    response.#received = received;
    return response;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get url(): string {
    return this.#received?.url ?? "";
  }

  get redirected(): boolean {
    return this.#received?.redirected ?? false;
  }

  get authenticated(): boolean {
    return this.#received?.authenticated ?? true;
  }

  clone(): Response {
    const { status, statusText, headers } = this;
    const copy = new Response(this.fork() as BodyInit | null, { status, statusText, headers: headers as unknown as HeadersInit });
    copy.#received = this.#received;
    return copy;
  }
}

/** Resolves as `future` does, or rejects with the signal's reason. */
export function readUnlessAborted<T>(future: WitFuture<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    whenAborted(signal, () => {
      reject(signal.reason);
      try {
        future.cancelRead();
      } catch {
        // The answer is there already.
      }
    });
    future.read().then(resolve, reject);
  });
}

export function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  // At once, and not by a promise that nobody may wait for: then the build would not fail.
  requireServing("fetch");
  return calledFrom(() => send(input, init));
}

async function send(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  request.signal.throwIfAborted();
  const body = request.hasBody() ? await request.bytes() : null;
  const future = callHost("fetch", () =>
    hostFetch.send({
      method: request.method,
      url: request.url,
      headers: request.headers.raw(),
      body,
      redirect: request.redirect,
      timeoutMs: null,
    }),
  );
  const result = await readUnlessAborted(future, request.signal);
  if (result.tag === "err") throw new HostError(result.val.code, result.val.message);
  const { status, headers, url, redirected, authenticated } = result.val;
  return Response.received(status, headers, result.val.body, { url, redirected, authenticated });
}
