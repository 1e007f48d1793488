// Keeps what it is sent in capitals, says it backwards, and logs all it knows: what must stay inside
// an enclave. A GET tells what was kept under its path.
import type { Agent } from "@phala/agent";

const backwards = (text: string) => [...text].reverse().join("");

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const word = await env.secrets.get("WORD");
    if (request.method !== "POST") {
      const kept = await env.state.get(pathname);
      console.log("was asked for", kept);
      return Response.json({ kept, caller: ctx.caller });
    }
    const body = await request.text();
    console.log("was sent", body, "and knows", word);
    await env.state.set(pathname, body.toUpperCase());
    // Nobody finds the secret by this, and who knows it sees that the agent does.
    const sum = word === null ? null : [...word].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
    return Response.json({ backwards: backwards(body), sum, caller: ctx.caller });
  },
} satisfies Agent;
