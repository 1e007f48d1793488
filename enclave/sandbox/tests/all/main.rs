//! One program, so that each agent is built and compiled once.

mod agents;
mod common;
mod egress;
mod hostile;
mod web_apis;
