//! Names of what keys belong to. The same widths as in `protocol`: they are hashed and
//! signed, so a change here is a change of every vector in `tests/conformance.rs`.

/// Hash of the chain's genesis block.
pub type GenesisHash = [u8; 32];
/// Public key or hash of an account.
pub type AccountBytes = [u8; 32];
/// An agent.
pub type AgentId = [u8; 32];
/// Hash of an agent's code.
pub type CodeHash = [u8; 32];
/// A group of workers.
pub type ClusterId = u32;
/// A worker's or gatekeeper's place in the network.
pub type WorkerId = u32;
/// One life of the process in a worker.
pub type BootNumber = u32;
/// Life of one master key.
pub type Epoch = u32;
/// Life of one cluster secret within an epoch.
pub type Generation = u32;
/// Counts the encryption keys, or the signing roots, of one agent.
pub type KeyVersion = u32;
/// Height of a block.
pub type BlockNumber = u32;
/// Counts the committed effect sets of one agent.
pub type StateVersion = u64;
/// A request's id.
pub type RequestId = [u8; 32];
