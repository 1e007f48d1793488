//! Every domain of the network: what separates one hashed, signed, sealed or derived thing from
//! another. The whole separation is audited by reading this file.
//!
//! A domain is the **first field** of the one named struct whose SCALE encoding is hashed, signed,
//! used as HKDF info, HPKE info or AEAD associated data. It is encoded as a SCALE string, so that
//! its length stands before it: none can be read as the beginning of another. Changing one is a
//! hard fork between chain and enclaves, and makes what was sealed or derived under it unreadable:
//! raise the number at its end instead, and keep the old one for as long as something of it is
//! kept. The frozen vectors (`tests/frozen.rs`, `enclave/keys/tests/conformance.rs`) stand guard.

use codec::Encode;

/// A readable name, distinct from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub struct Domain(&'static str);

impl Domain {
	/// For libraries that take a domain as bytes of their own.
	pub const fn as_bytes(&self) -> &'static [u8] {
		self.0.as_bytes()
	}
}

macro_rules! domains {
	($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
		$($(#[$doc])* pub const $name: Domain = Domain($text);)+

		/// All of them, for the test that they differ.
		pub const ALL: &[Domain] = &[$($name),+];
	};
}

domains! {
	// --- signed by a boot's identity key (sr25519, context `substrate`) ---

	/// An envelope from an enclave to the chain.
	ENVELOPE = "phala/mailbox/envelope/v2";
	/// Statement of a member: it keeps an effect set's body.
	AVAILABILITY = "phala/agents/availability/v1";
	/// An effect set's body, given to another member to keep.
	REPLICATION = "phala/agents/replication/v1";
	/// A member's question for pages of an agent's state, to another member.
	PAGES_QUESTION = "phala/agents/pages-question/v1";
	/// Answers of agents, given together.
	ANSWERS = "phala/agents/answers/v1";
	/// A dealer's message to one player of a key ceremony.
	DKG_DEALING = "phala/keys/dkg/dealing/v1";
	/// A player's acknowledgement, a dealer's log.
	DKG_SIGNATURE = "phala/keys/dkg/signature/v1";
	/// A gatekeeper's partial signature on its way to a worker.
	PARTIAL_RELEASE = "phala/keys/release/partial/v1";

	// --- signed by others ---

	/// By the development attestation key: a `Software` report.
	SOFTWARE_REPORT = "phala/attestation/software-report/v1";
	/// By a caller's wallet: a direct call.
	DIRECT_CALL = "phala/agents/direct-call/v1";
	/// By an agent's owner: a look at its log.
	LOGS_QUERY = "phala/agents/logs-query/v1";
	/// By the threshold master key (BLS12-381): what makes a cluster secret.
	CLUSTER = "phala/cluster/v1";

	// --- hashed ---

	/// Into the report data of attestation evidence.
	BOOT_STATEMENT = "phala/registry/boot-statement/v1";
	/// Into the report data of evidence that somebody asked for with a nonce.
	REPORT = "phala/attestation/report/v1";
	/// An agent's id.
	AGENT_ID = "phala/agents/id/v1";
	/// The id of an agent that is hosted from a folder, without a chain.
	DEVELOPMENT_AGENT_ID = "phala/agents/development-id/v1";
	/// A request's id.
	REQUEST_ID = "phala/requests/id/v1";
	/// Hash of an encrypted effect-set body, as the chain knows it.
	STATE_BODY_HASH = "phala/agents/state/body-hash/v1";
	/// Name of a page of an agent's state.
	STATE_PAGE = "phala/state/page/v1";
	/// Root of an agent's state, as the chain knows it.
	STATE_ROOT = "phala/state/root/v1";
	/// An answer of an agent: its name.
	ANSWER = "phala/agents/answer/v1";
	/// That name, as a leaf of the tree of answers that are signed together: who is shown the leaf learns no name.
	ANSWER_LEAF = "phala/agents/answer-leaf/v1";
	/// Two neighbours in that tree.
	ANSWER_NODE = "phala/agents/answer-node/v1";
	/// With a salt: what an answer is about.
	SALTED = "phala/agents/salted/v1";

	// --- bound into a key ceremony's transcript ---

	/// Namespace of all ceremonies of one chain.
	DKG_NAMESPACE = "phala/keys/dkg/namespace/v1";

	// --- HKDF-SHA256 infos ---

	/// Master signature to cluster secret.
	CLUSTER_SECRET = "phala/keys/cluster/secret/v1";
	/// Cluster secret to the key that wraps data and transport keys.
	CLUSTER_WRAPPING = "phala/keys/cluster/wrapping/v1";
	/// Cluster data key to the key of one agent's state.
	STATE_KEY = "phala/keys/state/key/v1";
	/// Cluster data key to the key that hides the names of one agent's state entries.
	STATE_NAMES = "phala/keys/state/names/v1";
	/// Name key to the tag of one state entry.
	STATE_NAME_TAG = "phala/keys/state/name-tag/v1";
	/// Cluster data key to the key of the pages of one agent's state.
	STATE_PAGES_KEY = "phala/keys/state/pages/v1";
	/// Signing root to an sr25519 wallet.
	WALLET_SR25519 = "phala/keys/wallet/sr25519/v1";
	/// Signing root to an ed25519 wallet.
	WALLET_ED25519 = "phala/keys/wallet/ed25519/v1";
	/// Signing root to a secp256k1 wallet.
	WALLET_SECP256K1 = "phala/keys/wallet/secp256k1/v1";
	/// Signing root to the randomness of one request.
	REQUEST_RANDOMNESS = "phala/keys/request-randomness/v1";

	// --- HPKE infos ---

	/// Input sealed to an agent's encryption key.
	SEALED_INPUT = "phala/seal/input/v1";
	/// An answer sealed to the caller's one-time reply key.
	SEALED_REPLY = "phala/seal/reply/v1";
	/// A partial signature sealed to a worker's single-use key.
	SEALED_PARTIAL = "phala/seal/partial/v1";
	/// A share sealed to a player of a key ceremony.
	SEALED_SHARE = "phala/seal/share/v1";

	// --- AEAD associated data ---

	/// A cluster's data or transport key, wrapped.
	WRAPPED_KEY = "phala/aead/wrapped-key/v1";
	/// One value of an agent's state.
	STATE_VALUE = "phala/aead/state-value/v1";
	/// The body of an effect set.
	STATE_BODY = "phala/aead/state-body/v1";
	/// One page of an agent's state.
	STATE_SEALED_PAGE = "phala/aead/state-page/v1";
	/// Which pages one member asks another for.
	STATE_PAGES_QUESTION = "phala/aead/state-pages-question/v1";
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn all_domains_differ_and_none_begins_another() {
		for (index, one) in ALL.iter().enumerate() {
			for other in &ALL[index + 1..] {
				let (one, other) = (one.encode(), other.encode());
				assert!(!one.starts_with(&other) && !other.starts_with(&one));
			}
		}
	}

	#[test]
	fn each_name_is_readable_and_carries_its_version() {
		for domain in ALL {
			let text = core::str::from_utf8(domain.as_bytes()).unwrap();
			assert!(text.starts_with("phala/"), "{text}");
			// The old version stands beside a new one here while anything signed under it is kept.
			let version = text.rsplit("/v").next().unwrap_or_default();
			assert!(version.parse::<u32>().is_ok_and(|version| version > 0), "{text}");
			assert!(text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-')));
		}
	}
}
