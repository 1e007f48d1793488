// Checks the web APIs from the inside: each path runs a check and answers with what failed.
import { isHostError, type Agent, type Context, type Env } from "@phala/agent";

function same(found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${a}, expected ${b}`);
}

async function rejects(work: () => unknown): Promise<any> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error("it did not throw");
}

// While an agent is built its clocks stand still, so that its snapshot does not depend on when that was.
const whileBuilt = { date: Date.now(), elapsed: performance.now(), later: Date.now() };

type Check = (env: Env, ctx: Context, request: Request) => unknown;

const checks: Record<string, Check> = {
  "text-encoding": async () => {
    const text = "aé€😀\ud800z";
    const bytes = new TextEncoder().encode(text);
    same([...bytes], [0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xef, 0xbf, 0xbd, 0x7a]);
    same(new TextDecoder().decode(bytes), "aé€😀\ufffdz");
    same(new TextDecoder().decode(new Uint8Array([0xe2, 0x82, 0x41, 0xc0, 0x80, 0xed, 0xa0, 0x80])), "\ufffdA" + "\ufffd".repeat(5));
    same((await rejects(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff])))).name, "TypeError");
    const long = "é".repeat(100_000);
    same(new TextDecoder().decode(new TextEncoder().encode(long)) === long, true);
  },
  url: async () => {
    const url = new URL("../b?x=1&x=2#h", "https://example.com:8443/a/c");
    same([url.href, url.host, url.searchParams.getAll("x")], ["https://example.com:8443/b?x=1&x=2#h", "example.com:8443", ["1", "2"]]);
    url.searchParams.append("y", "ä b");
    same(url.search, "?x=1&x=2&y=%C3%A4+b");
    same((await rejects(() => new URL("nope"))).name, "TypeError");
    same(URL.canParse("https://x.org"), true);
  },
  headers: async () => {
    const headers = new Headers({ "X-One": "1" });
    headers.append("x-one", "2");
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    same(headers.get("X-ONE"), "1, 2");
    same(headers.getSetCookie(), ["a=1", "b=2"]);
    same([...headers], [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-one", "1, 2"]]);
    same((await rejects(() => headers.set("bad name", "x"))).name, "TypeError");
    same((await rejects(() => headers.set("x", "a\nb"))).name, "TypeError");
  },
  bodies: async () => {
    const response = Response.json({ a: [1] }, { status: 201 });
    same([response.status, response.ok, response.headers.get("content-type")], [201, true, "application/json"]);
    const copy = response.clone();
    same(await response.json(), { a: [1] });
    same(response.bodyUsed, true);
    same((await rejects(() => response.text())).name, "TypeError");
    same(await copy.text(), '{"a":[1]}');
    same(new Uint8Array(await new Response("é").arrayBuffer()).length, 2);
    same(await new Response(new URLSearchParams({ a: "b c" })).text(), "a=b+c");
    same((await rejects(() => new Response("x", { status: 204 }))).name, "TypeError");
    same((await rejects(() => new Response(null, { status: 99 }))).name, "RangeError");
  },
  streams: async () => {
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("one "));
        controller.enqueue(new TextEncoder().encode("two"));
        controller.close();
      },
    });
    const response = new Response(source);
    const copy = response.clone();
    same(await response.text(), "one two");
    same(await copy.text(), "one two");
    let read = "";
    for await (const chunk of new Response("three").body!) read += new TextDecoder().decode(chunk);
    same(read, "three");
  },
  request: async (_env, _ctx, request) => {
    const copy = new Request(request, { headers: { "x-new": "1" } });
    same([copy.method, copy.headers.get("x-new"), new URL(copy.url).pathname], ["GET", "1", "/request"]);
    same((await rejects(() => new Request("https://x.org", { body: "x" }))).name, "TypeError");
    same(new Request("https://x.org", { method: "post", body: "x" }).method, "POST");
  },
  timers: async () => {
    const order: string[] = [];
    const cleared = setTimeout(() => order.push("cleared"), 1);
    clearTimeout(cleared);
    await new Promise<void>((resolve) => {
      setTimeout((text: string) => order.push(text), 30, "second");
      setTimeout(() => order.push("first"), 5);
      setTimeout(resolve, 60);
    });
    let ticks = 0;
    await new Promise<void>((resolve) => {
      const id = setInterval(() => {
        if (++ticks === 3) {
          clearInterval(id);
          resolve();
        }
      }, 1);
    });
    same(order, ["first", "second"]);
    same(ticks, 3);
  },
  clock: async () => {
    same(whileBuilt, { date: 0, elapsed: 0, later: 0 });
    const started = { date: Date.now(), elapsed: performance.now() };
    same(started.date > Date.UTC(2026, 0), true);
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
    same([Date.now() > started.date, performance.now() > started.elapsed], [true, true]);
  },
  abort: async () => {
    const controller = new AbortController();
    let heard = 0;
    controller.signal.addEventListener("abort", () => heard++);
    controller.abort();
    controller.abort();
    same([heard, controller.signal.aborted, controller.signal.reason.name], [1, true, "AbortError"]);
    same((await rejects(() => controller.signal.throwIfAborted())).name, "AbortError");
    const timeout = AbortSignal.timeout(5);
    await new Promise<void>((resolve) => timeout.addEventListener("abort", () => resolve()));
    same(timeout.reason.name, "TimeoutError");
    same(AbortSignal.any([AbortSignal.abort("why")]).reason, "why");
  },
  crypto: async () => {
    same(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()), true);
    same((await rejects(() => crypto.getRandomValues(new Uint8Array(65_537)))).name, "QuotaExceededError");
    same(Array.from({ length: 1_000 }, Math.random).every((n) => n >= 0 && n < 1), true);
  },
  clone: () => {
    const value = { date: new Date(0), map: new Map([[1, { a: 1 }]]), bytes: new Uint8Array([1, 2]) };
    const copy = structuredClone(value);
    same([copy.date.getTime(), copy.map.get(1), copy.bytes[1], copy.map !== value.map], [0, { a: 1 }, 2, true]);
    same(atob(btoa("abc")), "abc");
  },
  state: async (env) => {
    same(await env.state.get("none"), null);
    await env.state.set("a/1", "one");
    await env.state.setJson("a/2", { two: 2 });
    await env.state.set("b", new Uint8Array([1]));
    await env.state.delete("a/1");
    same(await env.state.get("a/1"), null);
    same(await env.state.getJson("a/2"), { two: 2 });
    same((await env.state.scan({ prefix: "a/" })).map((entry) => [entry.key, entry.json()]), [["a/2", { two: 2 }]]);
    const error = await rejects(() => env.state.scan({ limit: 0 }));
    same([isHostError(error), error.name, error.code], [true, "HostError", "invalid"]);
  },
  context: (env, ctx) => {
    same([ctx.block.number, ctx.attempt, ctx.callDepth, ctx.writable, ctx.idempotencyKey], [42, 1, 0, true, "key-1"]);
    same([ctx.agent.length, ctx.codeHash.length, ctx.requestId], [66, 66, `0x${"01".repeat(32)}`]);
    same(Object.isFrozen(env), true);
  },
  console: () => {
    const circular: any = { name: "loop" };
    circular.self = circular;
    console.log("text", 1, null, undefined, [1, "a"], { b: new Map([["k", 2n]]) }, circular);
    console.warn(new Uint8Array(3));
  },
};

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return Response.json(Object.keys(checks));
    if (pathname === "/echo") {
      return new Response(request.body, { headers: { "content-type": request.headers.get("content-type") ?? "none" } });
    }
    await checks[pathname.slice(1)]!(env, ctx, request);
    return new Response("ok");
  },
} satisfies Agent;
