//! # The runtime: what the chain agrees on
//!
//! | file | configures |
//! |---|---|
//! | [`config::consensus`] | blocks (BABE), finality (GRANDPA), sessions |
//! | [`config::staking`] | staking, elections, and what they may cost |
//! | [`reserve`] | what stakers are paid with |
//! | [`config::fees`] | what transactions cost |
//! | [`config::money`] | balances, treasury and bounties, vesting |
//! | [`config::governance`] | preimages, scheduler, referenda, conviction voting |
//! | [`config::tracks`], [`origins`] | who decides what, with how many votes |
//! | [`config::accounts`] | identity, multisig, proxy |
//! | [`config::network`] | the pallets of this network: mailbox, bonding, registry, gatekeepers, clusters, agents, requests |
//! | [`upkeep`] | what the network's pallets do by themselves, and how much of a block it takes |
//! | [`parameters`] | what differs between the presets, in storage |
//! | [`migrations`] | what an upgrade does to the state that it finds |
//! | [`presets`] | genesis of `dev`, `local` and `staging` |
//! | [`apis`] | what the node may ask |
//!
//! What differs between the presets is genesis storage. `staging`, and every network that
//! `phala network new` makes, have the wasm of [`production`], without software evidence; the others
//! the wasm of this build.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "256"]

extern crate alloc;

pub mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarks;
pub mod config;
pub mod migrations;
pub mod origins;
pub mod parameters;
pub mod presets;
pub mod reserve;
#[cfg(all(feature = "std", any(test, feature = "test-support")))]
pub mod test_support;
#[cfg(test)]
mod tests;
pub mod upkeep;
pub mod weights;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
	generic,
	traits::{BlakeTwo256, IdentifyAccount, Verify},
	MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use phala_protocol::BlockNumber;

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

/// The wasm of networks with value, which has no verifier of software evidence in it. `WASM_BINARY`
/// itself where this build has none either; `None` with `SKIP_WASM_BUILD`.
#[cfg(feature = "std")]
pub mod production {
	#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
	include!(concat!(env!("OUT_DIR"), "/phala_runtime_production"));
	#[cfg(not(feature = "software-evidence"))]
	pub use super::WASM_BINARY;
	#[cfg(all(feature = "software-evidence", feature = "runtime-benchmarks"))]
	pub const WASM_BINARY: Option<&[u8]> = None;
}

/// Any of the chain's signature schemes.
pub type Signature = MultiSignature;
/// A 32-byte account.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// Amount of PHA's smallest unit, 10⁻¹² PHA.
pub type Balance = u128;
/// Number of transactions of an account.
pub type Nonce = u32;
/// A block hash.
pub type Hash = sp_core::H256;
/// How calls name accounts.
pub type Address = MultiAddress<AccountId, ()>;
/// A block header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// What every transaction is checked for, settled by decision 011: what every client encodes.
///
/// `AuthorizeCall` stays first, it lets fee-less envelopes in. An EVM adds its `SetOrigin` before
/// `WeightReclaim`, which puts no byte into anybody's transaction. A test holds the list.
pub type TransactionExtensions = (
	frame_system::AuthorizeCall<Runtime>,
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	frame_system::CheckEra<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
	pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
	frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
	frame_system::WeightReclaim<Runtime>,
);

/// A transaction as it travels.
pub type UncheckedExtrinsic =
	generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TransactionExtensions>;

/// What a transaction's signature signs.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TransactionExtensions>;

/// Executes blocks.
pub type Executive = frame_executive::Executive<
	Runtime,
	Block,
	frame_system::ChainContext<Runtime>,
	Runtime,
	AllPalletsWithSystem,
>;

/// Opaque types: what the node needs to know of blocks, whatever the runtime makes of them.
pub mod opaque {
	use super::*;
	use alloc::vec::Vec;
	use sp_runtime::impl_opaque_keys;

	pub use sp_runtime::OpaqueExtrinsic as UncheckedExtrinsic;

	/// A header.
	pub type Header = super::Header;
	/// A block of opaque transactions.
	pub type Block = generic::Block<Header, UncheckedExtrinsic>;
	/// Hash of a block.
	pub type Hash = <BlakeTwo256 as sp_runtime::traits::Hash>::Output;

	impl_opaque_keys! {
		/// What a validator signs with, settled by decision 011: another key would have to be made
		/// and registered by every validator.
		pub struct SessionKeys {
			pub babe: Babe,
			pub grandpa: Grandpa,
			pub authority_discovery: AuthorityDiscovery,
			pub beefy: Beefy,
		}
	}
}

macro_rules! version {
	($spec_version:tt) => {
		#[sp_version::runtime_version]
		pub const VERSION: RuntimeVersion = RuntimeVersion {
			spec_name: Cow::Borrowed("phala"),
			impl_name: Cow::Borrowed("phala-node"),
			authoring_version: 1,
			spec_version: $spec_version,
			impl_version: 1,
			apis: apis::RUNTIME_API_VERSIONS,
			transaction_version: 2,
			// New code waits for a block: the first that it makes is the first that others see it with.
			system_version: 3,
		};
	};
}

// The wasm names its version in a section of its own, which takes a figure and no expression.
#[cfg(not(feature = "upgrade-rehearsal"))]
version!(2);
// Newer than any other.
#[cfg(feature = "upgrade-rehearsal")]
version!(1_000_000);

/// Amounts of PHA.
pub mod currency {
	use super::Balance;

	/// One PHA, in its smallest unit.
	pub const PHA: Balance = 1_000_000_000_000;
	/// A hundredth of a PHA.
	pub const CENTS: Balance = PHA / 100;
	/// A thousandth of a PHA.
	pub const MILLIS: Balance = PHA / 1000;
	/// All that is issued at genesis.
	pub const ISSUANCE: Balance = 1_000_000_000 * PHA;
	/// How tools write it.
	pub const SYMBOL: &str = "PHA";
	/// Digits after the point.
	pub const DECIMALS: u32 = 12;
	/// Prefix of addresses.
	pub const SS58_PREFIX: u16 = 30;
}

/// Lengths of time, in blocks.
pub mod time {
	use super::BlockNumber;

	/// Time between two blocks, in milliseconds.
	pub const BLOCK_MILLISECONDS: u64 = phala_protocol::limits::BLOCK_MS;
	/// A minute, in blocks.
	pub const MINUTES: BlockNumber = 60_000 / BLOCK_MILLISECONDS as BlockNumber;
	/// An hour, in blocks.
	pub const HOURS: BlockNumber = 60 * MINUTES;
	/// A day, in blocks.
	pub const DAYS: BlockNumber = 24 * HOURS;
}

#[frame_support::runtime]
mod runtime {
	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeFreezeReason,
		RuntimeHoldReason,
		RuntimeSlashReason,
		RuntimeLockId,
		RuntimeTask,
		RuntimeViewFunction
	)]
	pub struct Runtime;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;
	// First of all genesis builds: the pallets after it read what it holds.
	#[runtime::pallet_index(1)]
	pub type Parameters = parameters;
	#[runtime::pallet_index(2)]
	pub type Timestamp = pallet_timestamp;

	// Consensus.
	#[runtime::pallet_index(10)]
	pub type Babe = pallet_babe;
	#[runtime::pallet_index(11)]
	pub type Authorship = pallet_authorship;
	#[runtime::pallet_index(12)]
	pub type Balances = pallet_balances;
	#[runtime::pallet_index(13)]
	pub type TransactionPayment = pallet_transaction_payment;
	#[runtime::pallet_index(14)]
	pub type Staking = pallet_staking;
	#[runtime::pallet_index(15)]
	pub type Offences = pallet_offences;
	#[runtime::pallet_index(16)]
	pub type Historical = pallet_session::historical;
	#[runtime::pallet_index(17)]
	pub type Session = pallet_session;
	#[runtime::pallet_index(18)]
	pub type Grandpa = pallet_grandpa;
	#[runtime::pallet_index(19)]
	pub type AuthorityDiscovery = pallet_authority_discovery;
	#[runtime::pallet_index(20)]
	pub type Beefy = pallet_beefy;
	#[runtime::pallet_index(21)]
	pub type VoterList = pallet_bags_list;
	#[runtime::pallet_index(22)]
	pub type StakingReserve = reserve;

	// Governance.
	#[runtime::pallet_index(30)]
	pub type Preimage = pallet_preimage;
	#[runtime::pallet_index(31)]
	pub type Scheduler = pallet_scheduler;
	#[runtime::pallet_index(32)]
	pub type ConvictionVoting = pallet_conviction_voting;
	#[runtime::pallet_index(33)]
	pub type Referenda = pallet_referenda;
	#[runtime::pallet_index(34)]
	pub type Treasury = pallet_treasury;
	#[runtime::pallet_index(35)]
	pub type Utility = pallet_utility;
	// Only the development preset gives it a key.
	#[runtime::pallet_index(36)]
	pub type Sudo = pallet_sudo;
	// After staking, session and sudo: its genesis checks theirs.
	#[runtime::pallet_index(37)]
	pub type Origins = origins;
	#[runtime::pallet_index(38)]
	pub type Bounties = pallet_bounties;
	#[runtime::pallet_index(39)]
	pub type ChildBounties = pallet_child_bounties;

	// Accounts.
	#[runtime::pallet_index(40)]
	pub type Identity = pallet_identity;
	#[runtime::pallet_index(41)]
	pub type Proxy = pallet_proxy;
	#[runtime::pallet_index(42)]
	pub type Multisig = pallet_multisig;
	#[runtime::pallet_index(43)]
	pub type Vesting = pallet_vesting;

	// The network.
	#[runtime::pallet_index(50)]
	pub type Mailbox = pallet_mailbox;
	#[runtime::pallet_index(51)]
	pub type Registry = pallet_registry;
	#[runtime::pallet_index(52)]
	pub type Gatekeepers = pallet_gatekeepers;
	#[runtime::pallet_index(53)]
	pub type Clusters = pallet_clusters;
	#[runtime::pallet_index(54)]
	pub type Agents = pallet_agents;
	#[runtime::pallet_index(55)]
	pub type Requests = pallet_requests;
	#[runtime::pallet_index(56)]
	pub type Bonding = pallet_bonding;
	// Has the work done that those above leave for later.
	#[runtime::pallet_index(57)]
	pub type Upkeep = upkeep;
}
