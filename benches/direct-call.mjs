// How long a direct call of an agent takes, and how many a worker answers.
//   node benches/direct-call.mjs http://127.0.0.1:8000/agents/hello/ [seconds] [connections]
// First one connection (a call's own time), then several (requests a second). Needs no packages.
import http from "node:http";
import os from "node:os";
import { fileURLToPath } from "node:url";

/** One request; its milliseconds. Any answer but 200 ends the program. */
function call(url, agent) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    http
      .get(url, { agent }, (response) => {
        response.resume();
        response.on("end", () => {
          if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
          else resolve(performance.now() - start);
        });
      })
      .on("error", reject);
  });
}

/** Calls `url` over so many connections for so many seconds; what came of it, as a line. */
export async function measure(url, connections, seconds) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const times = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) times.push(await call(url, agent));
    }),
  );
  const elapsed = (performance.now() - start) / 1000;
  agent.destroy();
  times.sort((a, b) => a - b);
  const percentile = (p) => times[Math.min(times.length - 1, Math.floor(times.length * p))].toFixed(2);
  return `${connections} connection(s): ${(times.length / elapsed).toFixed(0)} requests/s, p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms, ${times.length} requests`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, seconds = "5", connections = "8"] = process.argv.slice(2);
  if (!url) {
    console.error("usage: node benches/direct-call.mjs <url> [seconds] [connections]");
    process.exit(2);
  }
  await measure(url, 1, 1); // Warms up.
  console.log(`${os.cpus().length} × ${os.cpus()[0].model}, load ${os.loadavg()[0].toFixed(1)} at the start`);
  console.log(await measure(url, 1, Number(seconds)));
  console.log(await measure(url, Number(connections), Number(seconds)));
}
