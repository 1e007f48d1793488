//! Every domain that separates one sealed, derived or signed thing of this crate from another.
//!
//! The whole separation is audited by reading this file. A domain is the **first field** of the
//! struct whose SCALE encoding is signed, hashed, used as HKDF info, HPKE info or AEAD associated
//! data. All are 16 bytes, so that none is a prefix of another. Changing one makes every key,
//! ciphertext or signature under it unreadable: the `all_domains_differ` test and the frozen
//! vectors stand guard. What boots sign towards the chain has its domains in `protocol`.

/// 16 bytes, as everywhere in the network.
pub type Domain = [u8; 16];

// --- signed by a boot's identity key (sr25519, context SUBSTRATE_SIGNING_CONTEXT) ---

/// The sr25519 context that Substrate uses for everything; separation is the domain's work.
pub const SUBSTRATE_SIGNING_CONTEXT: &[u8] = b"substrate";
/// A dealer's message to one player of a key ceremony.
pub const DKG_DEALING: Domain = *b"phala/dkg/deal/1";
/// A player's acknowledgement, a dealer's log.
pub const DKG_SIGNATURE: Domain = *b"phala/dkg/sign/1";
/// A gatekeeper's partial signature on its way to a worker.
pub const PARTIAL_RELEASE: Domain = *b"phala/release/s1";

// --- bound into a key ceremony's transcript ---

/// Namespace of all ceremonies of one chain.
pub const DKG_NAMESPACE: Domain = *b"phala/dkg/name/1";

// --- signed by the threshold master key (BLS12-381) ---

/// What gatekeepers sign to make a cluster secret.
pub const CLUSTER: Domain = *b"phala/cluster/v1";

// --- HKDF-SHA256 infos ---

/// Master signature to cluster secret.
pub const CLUSTER_SECRET: Domain = *b"phala/clustsec/1";
/// Cluster secret to the key that wraps data and transport keys.
pub const CLUSTER_WRAPPING: Domain = *b"phala/clustwrap1";
/// Cluster data key to the key of one agent's state.
pub const STATE_KEY: Domain = *b"phala/state/key1";
/// Cluster data key to the key that hides the names of one agent's state entries.
pub const STATE_NAMES: Domain = *b"phala/state/nam1";
/// Name key to the tag of one state entry.
pub const STATE_NAME_TAG: Domain = *b"phala/state/tag1";
/// Signing root to an sr25519 wallet.
pub const WALLET_SR25519: Domain = *b"phala/wallet/sr1";
/// Signing root to an ed25519 wallet.
pub const WALLET_ED25519: Domain = *b"phala/wallet/ed1";
/// Signing root to a secp256k1 wallet.
pub const WALLET_SECP256K1: Domain = *b"phala/wallet/k01";
/// Signing root to the randomness of one request.
pub const REQUEST_RANDOMNESS: Domain = *b"phala/agent/rnd1";

// --- HPKE infos ---

/// Input sealed to an agent's encryption key.
pub const SEALED_INPUT: Domain = *b"phala/seal/inp/1";
/// An answer sealed to the caller's one-time reply key.
pub const SEALED_REPLY: Domain = *b"phala/seal/rep/1";
/// A partial signature sealed to a worker's single-use key.
pub const SEALED_PARTIAL: Domain = *b"phala/seal/par/1";
/// A share sealed to a player of a key ceremony.
pub const SEALED_SHARE: Domain = *b"phala/seal/shr/1";

// --- AEAD associated data ---

/// A cluster's data or transport key, wrapped.
pub const WRAPPED_KEY: Domain = *b"phala/wrap/key/1";
/// One value of an agent's state.
pub const STATE_VALUE: Domain = *b"phala/state/val1";
/// The body of an effect set.
pub const STATE_BODY: Domain = *b"phala/state/bod1";

// --- hashed ---

/// Hash of an encrypted effect-set body, as the chain knows it.
pub const STATE_BODY_HASH: Domain = *b"phala/state/bdh1";

/// All of the above, for the test that they differ.
pub const ALL: [Domain; 23] = [
	DKG_DEALING,
	DKG_SIGNATURE,
	PARTIAL_RELEASE,
	DKG_NAMESPACE,
	CLUSTER,
	CLUSTER_SECRET,
	CLUSTER_WRAPPING,
	STATE_KEY,
	STATE_NAMES,
	STATE_NAME_TAG,
	WALLET_SR25519,
	WALLET_ED25519,
	WALLET_SECP256K1,
	REQUEST_RANDOMNESS,
	SEALED_INPUT,
	SEALED_REPLY,
	SEALED_PARTIAL,
	SEALED_SHARE,
	WRAPPED_KEY,
	STATE_VALUE,
	STATE_BODY,
	STATE_BODY_HASH,
	// Of `protocol`: an envelope must never read as anything above.
	*b"phala/envelope/1",
];

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn all_domains_differ() {
		let distinct: std::collections::BTreeSet<_> = ALL.iter().collect();
		assert_eq!(distinct.len(), ALL.len());
	}
}
