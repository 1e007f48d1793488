// An agent's modules are evaluated once, when the agent is built, on the developer's machine; the
// result is the snapshot that every request starts from. The host exists only afterwards.

let serving = false;

export function beginServing(): void {
  serving = true;
}

export function isServing(): boolean {
  return serving;
}

/** Throws while the agent is being built: `what` would run on the developer's machine, once. */
export function requireServing(what: string): void {
  if (!serving) {
    throw new Error(
      `${what} was used at the top level of a module. The top level runs once, when the agent is built, ` +
        `not in the enclave: move it into fetch(request, env, ctx).`,
    );
  }
}
