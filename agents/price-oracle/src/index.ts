// The median of several price sources. GET answers with the price; POST keeps it in state as well,
// where GET /last finds it.
import type { Agent, Env } from "@phala/agent";

interface Source {
  url: string;
  price: string;
}

interface Quote {
  source: string;
  price: number;
  authenticated: boolean;
}

const SOURCE_TIMEOUT_MS = 5_000;
/** Fewer say nothing: one source alone could be wrong. */
const SOURCES_MIN = 2;

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce((inner: any, key) => inner?.[key], value);
}

async function quote(source: Source): Promise<Quote> {
  const response = await fetch(source.url, { signal: AbortSignal.timeout(SOURCE_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`it answered with status ${response.status}`);
  const price = Number(at(await response.json(), source.price));
  if (!Number.isFinite(price) || price <= 0) throw new Error("it gave no price");
  return { source: new URL(source.url).host, price, authenticated: response.authenticated };
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

async function price(env: Env): Promise<{ status: number; answer: Record<string, unknown> }> {
  const sources = JSON.parse(env.config["sources"] ?? "[]") as Source[];
  const outlier = Number(env.config["outlier_percent"] ?? 5) / 100;
  const settled = await Promise.allSettled(sources.map(quote));

  const refused: { source: string; reason: string }[] = [];
  const quotes: Quote[] = [];
  settled.forEach((result, i) => {
    if (result.status === "fulfilled") quotes.push(result.value);
    else refused.push({ source: new URL(sources[i]!.url).host, reason: String(result.reason.message) });
  });

  const middle = median(quotes.map((quote) => quote.price));
  const near = quotes.filter((quote) => Math.abs(quote.price - middle) <= outlier * middle);
  for (const quote of quotes) {
    if (!near.includes(quote)) refused.push({ source: quote.source, reason: "its price is too far from the others" });
  }
  if (near.length < SOURCES_MIN) {
    return { status: 502, answer: { error: `only ${near.length} sources agree; ${SOURCES_MIN} are needed`, refused } };
  }
  return {
    status: 200,
    answer: {
      pair: env.config["pair"],
      price: median(near.map((quote) => quote.price)),
      sources: near.map((quote) => quote.source),
      refused,
      authenticated: near.every((quote) => quote.authenticated),
    },
  };
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/last") {
      const last = await env.state.getJson("last");
      return last === null ? Response.json({ error: "no price has been kept yet" }, { status: 404 }) : Response.json(last);
    }
    const { status, answer } = await price(env);
    if (status === 200) {
      answer["block"] = ctx.block.number;
      if (request.method === "POST") await env.state.setJson("last", answer);
    }
    return Response.json(answer, { status });
  },
} satisfies Agent;
