// POST { "message": "…" } or { "messages": [{ role, content }, …] }: asks a language model. The key
// for it is a secret that only the agent sees.
import type { Agent } from "@phala/agent";

interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

function refuse(status: number, error: string): Response {
  return Response.json({ error }, { status });
}

export default {
  async fetch(request, env, ctx) {
    if (request.method !== "POST") return refuse(405, 'Send a POST with JSON: { "message": "…" }');
    let asked: { message?: string; messages?: Message[] };
    try {
      asked = await request.json();
    } catch {
      return refuse(400, "The body is not JSON");
    }
    const messages = asked.messages ?? (asked.message ? [{ role: "user" as const, content: asked.message }] : []);
    if (messages.length === 0) return refuse(400, "There is no message");

    const key = await env.secrets.get("API_KEY");
    if (key === null) return refuse(503, "The agent's owner has not set the secret API_KEY");

    const system = env.config["system"];
    const response = await fetch(`${env.config["base_url"]}/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
        // An endpoint that knows the header answers a repeated attempt with its first answer.
        "idempotency-key": ctx.idempotencyKey,
      },
      body: JSON.stringify({
        model: env.config["model"],
        messages: system ? [{ role: "system", content: system }, ...messages] : messages,
      }),
    });
    if (!response.ok) {
      // The endpoint's words stay here: they may quote the key.
      console.warn(`The model's endpoint answered with status ${response.status}`);
      return refuse(502, `The model's endpoint answered with status ${response.status}`);
    }
    const completion = await response.json<{ model?: string; choices?: { message?: Message }[] }>();
    const reply = completion.choices?.[0]?.message?.content;
    if (typeof reply !== "string") return refuse(502, "The model's endpoint gave no reply");
    return Response.json({ reply, model: completion.model ?? env.config["model"] });
  },
} satisfies Agent;
