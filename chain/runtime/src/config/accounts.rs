//! What accounts can do for themselves: a name, deputies, several keys.

use crate::{
	currency::{CENTS, PHA},
	time::DAYS,
	AccountId, Balance, Balances, Runtime, RuntimeCall, RuntimeEvent, Signature, System,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	parameter_types,
	traits::{ConstU32, InstanceFilter},
};
use frame_system::EnsureRoot;
use scale_info::TypeInfo;
use sp_runtime::traits::{BlakeTwo256, Verify};

/// What somebody puts down for what the chain stores for them, and gets back when it is gone.
const fn deposit(items: u32, bytes: u32) -> Balance {
	items as Balance * PHA + bytes as Balance * CENTS
}

parameter_types! {
	pub const IdentityDeposit: Balance = deposit(1, 17);
	pub const IdentityByteDeposit: Balance = deposit(0, 1);
	pub const UsernameDeposit: Balance = deposit(0, 32);
	pub const SubAccountDeposit: Balance = deposit(1, 53);
	pub const MultisigDeposit: Balance = deposit(1, 88);
	pub const SignatoryDeposit: Balance = deposit(0, 32);
	pub const ProxiesDeposit: Balance = deposit(1, 8);
	pub const ProxyDeposit: Balance = deposit(0, 33);
	pub const AnnouncementsDeposit: Balance = deposit(1, 8);
	pub const AnnouncementDeposit: Balance = deposit(0, 66);
}

impl pallet_identity::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type Currency = Balances;
	type BasicDeposit = IdentityDeposit;
	type ByteDeposit = IdentityByteDeposit;
	type UsernameDeposit = UsernameDeposit;
	type SubAccountDeposit = SubAccountDeposit;
	type MaxSubAccounts = ConstU32<100>;
	type IdentityInformation = pallet_identity::legacy::IdentityInfo<ConstU32<20>>;
	type MaxRegistrars = ConstU32<20>;
	type Slashed = crate::Treasury;
	type ForceOrigin = EnsureRoot<AccountId>;
	type RegistrarOrigin = EnsureRoot<AccountId>;
	type OffchainSignature = Signature;
	type SigningPublicKey = <Signature as Verify>::Signer;
	type UsernameAuthorityOrigin = EnsureRoot<AccountId>;
	type PendingUsernameExpiration = ConstU32<{ 7 * DAYS }>;
	type UsernameGracePeriod = ConstU32<{ 30 * DAYS }>;
	type MaxSuffixLength = ConstU32<7>;
	type MaxUsernameLength = ConstU32<32>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = ();
	type WeightInfo = pallet_identity::weights::SubstrateWeight<Runtime>;
}

impl pallet_multisig::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type Currency = Balances;
	type DepositBase = MultisigDeposit;
	type DepositFactor = SignatoryDeposit;
	type MaxSignatories = ConstU32<100>;
	// `approve_as_multi` says afterwards that it took `as_multi_create`, which is 2.5 µs more than it declares:
	// nodes log "Post dispatch weight is greater than pre dispatch weight", and what was declared is paid.
	type WeightInfo = pallet_multisig::weights::SubstrateWeight<Runtime>;
	type BlockNumberProvider = System;
}

/// What a deputy may do for an account. What is not named here it may not.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum ProxyType {
	/// Everything.
	#[default]
	#[codec(index = 0)]
	Any,
	/// Vote, delegate, submit referenda, work on bounties. Who gets what they bring is not the deputy's to say.
	#[codec(index = 1)]
	Governance,
	/// Bond, nominate, validate, set session keys. Rewards go where the account has them go.
	#[codec(index = 2)]
	Staking,
	/// Run workers, gatekeepers and clusters, and put more at stake for them: what is at stake stays the
	/// account's own. Nothing changes hands.
	#[codec(index = 3)]
	Workers,
	/// Take back what another deputy announced.
	#[codec(index = 4)]
	CancelProxy,
}

/// All that a staker does but for saying who gets the rewards.
fn stakes(call: &pallet_staking::Call<Runtime>) -> bool {
	use pallet_staking::{Call, RewardDestination};
	match call {
		Call::bond { payee, .. } => {
			matches!(payee, RewardDestination::Staked | RewardDestination::Stash)
		}
		_ => matches!(
			call,
			Call::bond_extra { .. }
				| Call::unbond { .. }
				| Call::rebond { .. }
				| Call::withdraw_unbonded { .. }
				| Call::validate { .. }
				| Call::nominate { .. }
				| Call::chill { .. }
				| Call::kick { .. }
				| Call::payout_stakers { .. }
				| Call::payout_stakers_by_page { .. }
		),
	}
}

/// All that a proposer or curator does but for saying who gets a bounty.
fn works_on_bounties(call: &pallet_bounties::Call<Runtime>) -> bool {
	use pallet_bounties::Call;
	matches!(
		call,
		Call::propose_bounty { .. }
			| Call::unassign_curator { .. }
			| Call::accept_curator { .. }
			| Call::claim_bounty { .. }
			| Call::close_bounty { .. }
			| Call::extend_bounty_expiry { .. }
			| Call::poke_deposit { .. }
	)
}

/// The same. A curator's part of a child bounty may be all of it: who that is, and that there is one, is not a
/// deputy's to say either.
fn works_on_child_bounties(call: &pallet_child_bounties::Call<Runtime>) -> bool {
	use pallet_child_bounties::Call;
	matches!(
		call,
		Call::accept_curator { .. }
			| Call::unassign_curator { .. }
			| Call::claim_child_bounty { .. }
			| Call::close_child_bounty { .. }
	)
}

/// All that an operator does but for offers and acceptances: the stake goes along with a worker.
fn runs_workers(call: &pallet_registry::Call<Runtime>) -> bool {
	use pallet_registry::Call;
	matches!(
		call,
		Call::register_worker { .. }
			| Call::register_boot { .. }
			| Call::renew_boot { .. }
			| Call::evict { .. }
			| Call::close_worker { .. }
			| Call::probe { .. }
	)
}

fn runs_gatekeepers(call: &pallet_gatekeepers::Call<Runtime>) -> bool {
	use pallet_gatekeepers::Call;
	matches!(call, Call::apply { .. } | Call::withdraw { .. })
}

/// All but offers and acceptances: the deposit goes along with a cluster.
fn runs_clusters(call: &pallet_clusters::Call<Runtime>) -> bool {
	use pallet_clusters::Call;
	matches!(
		call,
		Call::create { .. }
			| Call::request_join { .. }
			| Call::approve_join { .. }
			| Call::set_endpoint { .. }
			| Call::leave { .. }
			| Call::remove_member { .. }
			| Call::close { .. }
			| Call::set_open { .. }
			| Call::admit_developer { .. }
	)
}

impl InstanceFilter<RuntimeCall> for ProxyType {
	fn filter(&self, call: &RuntimeCall) -> bool {
		match self {
			Self::Any => true,
			// What is inside a batch is asked about by itself.
			Self::Governance => match call {
				RuntimeCall::Preimage(_)
				| RuntimeCall::ConvictionVoting(_)
				| RuntimeCall::Referenda(_)
				| RuntimeCall::Utility(_) => true,
				RuntimeCall::Bounties(call) => works_on_bounties(call),
				RuntimeCall::ChildBounties(call) => works_on_child_bounties(call),
				_ => false,
			},
			Self::Staking => match call {
				RuntimeCall::Staking(call) => stakes(call),
				RuntimeCall::Session(_) | RuntimeCall::VoterList(_) | RuntimeCall::Utility(_) => {
					true
				}
				_ => false,
			},
			// Call by call, so that a new one is nobody's until it is named. A test asks about each.
			Self::Workers => match call {
				RuntimeCall::Registry(call) => runs_workers(call),
				RuntimeCall::Gatekeepers(call) => runs_gatekeepers(call),
				RuntimeCall::Clusters(call) => runs_clusters(call),
				RuntimeCall::Bonding(call) => {
					matches!(call, pallet_bonding::Call::top_up { .. })
				}
				RuntimeCall::Utility(_) => true,
				_ => false,
			},
			Self::CancelProxy => {
				matches!(call, RuntimeCall::Proxy(pallet_proxy::Call::reject_announcement { .. }))
			}
		}
	}

	fn is_superset(&self, other: &Self) -> bool {
		*self == Self::Any || self == other
	}
}

impl pallet_proxy::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type Currency = Balances;
	type ProxyType = ProxyType;
	type ProxyDepositBase = ProxiesDeposit;
	type ProxyDepositFactor = ProxyDeposit;
	type MaxProxies = ConstU32<32>;
	type WeightInfo = pallet_proxy::weights::SubstrateWeight<Runtime>;
	type MaxPending = ConstU32<32>;
	type CallHasher = BlakeTwo256;
	type AnnouncementDepositBase = AnnouncementsDeposit;
	type AnnouncementDepositFactor = AnnouncementDeposit;
	type BlockNumberProvider = System;
}
