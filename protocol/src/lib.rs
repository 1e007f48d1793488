//! What chain, enclave, relayer and clients agree on: types, limits, domains, storage keys.
//!
//! Everything here is either hashed, signed, stored or sent between two parties that do not trust
//! each other, so every type is plain SCALE data. Two rules hold throughout:
//!
//! * whatever is hashed or signed is the SCALE encoding of **one named struct** whose first field
//!   is a constant from [`domains`]; nothing is concatenated by hand;
//! * the storage keys that an enclave reads by proof are a contract with the runtime: they stand
//!   in [`storage_keys`] and a runtime test holds the two together.
//!
//! | module | holds |
//! |---|---|
//! | [`agents`] | agents, their leases, effect sets |
//! | [`clusters`] | members and wrapped keys of clusters |
//! | [`keys`] | the master key's ceremony, key requests |
//! | [`requests`] | paid requests, direct calls, signed answers |
//! | [`mailbox`] | channels, their heads, the hash chain; envelopes |
//! | [`messages`] | what the chain tells enclaves, and what they answer, by domain |
//! | [`caller`] | who asks: accounts, agents, tokens |
//! | [`bonding`] | what operators have at stake |
//! | [`boot`] | workers, boots and the statement that evidence is bound to |
//! | [`evidence`] | the kinds of attestation evidence as they travel |
//! | [`relay`] | what an untrusted relayer brings |
//! | [`refusals`] | why an enclave says no, by name and code |
//! | [`limits`] | bounds, with units |
//! | [`storage_keys`] | the chain facts that enclaves and clients read |
//! | `text` | how clients write accounts and amounts (feature `text`) |
//! | [`traits`] | what pallets offer each other |

#![cfg_attr(not(feature = "std"), no_std)]
// What is decoded here comes from anywhere: nothing panics.
#![cfg_attr(
	not(test),
	deny(
		clippy::arithmetic_side_effects,
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

extern crate alloc;

pub mod agents;
pub mod bonding;
pub mod boot;
pub mod caller;
pub mod clusters;
pub mod domains;
pub mod evidence;
pub mod keys;
pub mod limits;
pub mod mailbox;
pub mod messages;
pub mod refusals;
pub mod relay;
pub mod requests;
pub mod storage_keys;
#[cfg(feature = "text")]
pub mod text;
pub mod traits;

pub use primitive_types::H256;

/// Height of a block on the chain.
pub type BlockNumber = u32;

/// Public key bytes of an account (sr25519, ed25519) or its 32-byte hash, as `AccountId32`.
pub type AccountBytes = [u8; 32];

/// An amount of PHA in its smallest unit: 10^-12 PHA.
pub type Balance = u128;

/// BLAKE2b with a 32-byte digest, the chain's hash function.
pub fn blake2_256(data: &[u8]) -> H256 {
	H256(sp_crypto_hashing::blake2_256(data))
}

/// Hash of a value's SCALE encoding.
pub fn hash_of<T: codec::Encode>(value: &T) -> H256 {
	value.using_encoded(blake2_256)
}
