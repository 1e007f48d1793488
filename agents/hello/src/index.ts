import type { Agent } from "@phala/agent";

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    console.log(request.method, pathname);
    if (pathname === "/count" && request.method === "POST") {
      const count = Number((await env.state.get("count")) ?? 0) + 1;
      await env.state.set("count", String(count));
      return Response.json({ count });
    }
    if (pathname === "/whoami") {
      return Response.json({ caller: ctx.caller, agent: ctx.agent, block: ctx.block });
    }
    return new Response(`Hello, ${searchParams.get("name") ?? "world"}!`);
  },
} satisfies Agent;
