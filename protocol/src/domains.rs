//! Every domain that separates one hashed or signed thing of chain and mailbox from another.
//!
//! A domain is the first field of the struct that is signed or hashed. Changing one is a
//! hard fork between chain and enclaves. (`enclave/keys` has the domains of key derivation.)

/// 16 bytes, so that a domain is never a prefix of another.
pub type Domain = [u8; 16];

/// Signed by a boot's identity key: an envelope from an enclave to the chain.
pub const ENVELOPE: Domain = *b"phala/envelope/1";

/// Hashed into the report data of attestation evidence.
pub const BOOT_STATEMENT: Domain = *b"phala/boot/stmt1";

/// Signed by the development attestation key: a `Software` report.
pub const SOFTWARE_REPORT: Domain = *b"phala/sw/report1";

/// Hashed: an agent's id.
pub const AGENT_ID: Domain = *b"phala/agent/id/1";

/// Hashed: a request's id.
pub const REQUEST_ID: Domain = *b"phala/request/i1";

/// Hashed: one step of an agent's state hash.
pub const STATE_LINK: Domain = *b"phala/state/lnk1";

/// Signed by a boot: it keeps an effect set's body.
pub const AVAILABILITY: Domain = *b"phala/available1";

/// Signed by a boot: it gives an effect set's body to another member to keep.
pub const REPLICATION: Domain = *b"phala/replicate1";

/// Signed by a boot: an answer of an agent.
pub const ANSWER: Domain = *b"phala/answer/1\0\0";

/// Hashed with a salt: what an answer is about.
pub const SALTED: Domain = *b"phala/salted/1\0\0";

/// Signed by a caller's wallet: a direct call.
pub const DIRECT_CALL: Domain = *b"phala/direct/1\0\0";

/// Hashed into the report data of evidence that somebody asked for with a nonce.
pub const REPORT: Domain = *b"phala/boot/rep/1";

/// Signed by an agent's owner: a look at its log.
pub const LOGS_QUERY: Domain = *b"phala/logs/qry/1";
