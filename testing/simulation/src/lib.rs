//! # The whole network in one seeded test
//!
//! The real runtime, real machines (a gatekeeper and three members of a cluster), what relayers decide,
//! users and their money, under one scheduler: no clock, no thread, no socket, no node, no wasm. One
//! seed makes one run, to the last byte; what it saw is a hash, the *trace*, and a test runs a seed twice.
//!
//! ```text
//! make simulate SEEDS=10000            # how many a second; what failed, with the fewest faults
//! make simulate SEEDS=1 SEED=4711      # that one again
//! ```
//!
//! `make test` runs the seeds from 1 on, [`limits::TEST_SEEDS`] of them. With more than those,
//! `make simulate` also has two days without finality, which take some minutes.
//!
//! ## What is real
//!
//! | part | is |
//! |---|---|
//! | `chain` | `phala-runtime`, native, in externalities; genesis of `local_testnet` with sudo and short-lived evidence; `Executive` makes each block of signed extrinsics; `prove_read` its proofs; GRANDPA votes by genesis' validators; sets change each era, of 30 blocks |
//! | `host`, `shell` | `phala-machine`: each action is carried out as `enclave/pruntime/src/executor` does it, its cryptography too |
//! | `relayer` | pherry's `BodyPlan`, `proven_keys`, `EnvelopeBook` and `RegistrationGate`. Its loop is over a node's RPC and tokio; here it is a turn now and then. Bundles are encoded and decoded on the way |
//! | `users`, `operators` | sealed and public paid requests, sealed direct writes and reads; whoever sets the network up, again after each fault |
//! | `sandbox` | a script: what comes of a run is a function of the seed and the request |
//! | `network` | delays, losses, doubles, cuts, in virtual time |
//! | `disk` | sealed pages that outlive processes; what was not durable when one dies is there in part |
//!
//! Not here: two forks that grow at once (blocks that are not final are abandoned, and others made), a pool's
//! limits, HTTP, a disk's file, another runtime (an upgrade is what the first block under one does, by the
//! same). There is one gatekeeper: when it starts anew while no member has the cluster's keys these are lost, and
//! the state with them; that, and a second disk that is replaced, is counted as `lost` and is no defect.
//!
//! ## Faults and oracles
//!
//! [`faults`] draws up to [`limits::FAULTS_MAX`] faults a seed, each named; who lies is a struct of
//! `villains`. `oracles` has the table of what must hold. A fault more: a variant of
//! [`faults::Fault`], what it does in `Simulation::fault`, a draw in `faults::draw`. An oracle more: a
//! method that says [`violated`](simulation::Simulation), a line of the table, and a test in which somebody does it.
//!
//! ## Where randomness comes from
//!
//! Each part draws from a stream of its own, so that leaving out a fault changes as little else as can be.
//! Users sign by `phala_keys::sr25519`, since `sp_core` asks the system for randomness; machines are
//! given theirs. Nothing here iterates over a `HashMap`, asks for the time or depends on threads; the
//! `std::time::Instant` that pherry's gate takes is one origin plus virtual time.

mod account;
mod chain;
mod disk;
pub mod faults;
mod host;
pub mod limits;
mod many;
mod network;
mod operators;
mod oracles;
mod relayer;
mod sandbox;
mod scheduler;
mod shell;
pub mod simulation;
#[cfg(test)]
mod tests;
mod users;
mod villains;

pub use many::{run_many, run_with, shortest_failure, Report};
pub use simulation::{Counts, Length, Outcome, Simulation};
