//! The whole network in one seeded test.

mod account;
mod chain;
pub mod faults;
mod host;
pub mod limits;
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

pub use simulation::{Length, Outcome, Simulation};
