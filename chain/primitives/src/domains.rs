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
