export { isHostError } from "./host.ts";
