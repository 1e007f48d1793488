// Each path is a villain: those of the sandbox's own tests, asked and paid through the chain.
export { default } from "../../../../../enclave/sandbox/tests/hostile/src/index.ts";
