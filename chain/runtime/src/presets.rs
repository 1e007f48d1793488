//! Genesis of the networks that come with the node.
//!
//! | preset | validators | for |
//! |---|---|---|
//! | `development` | Alice | one machine; sudo is Alice's; software evidence accepted |
//! | `local_testnet` | Alice, Bob, Charlie, Dave | as above, with a quorum and without sudo: the chain votes |
//! | `staging` | Alice, Bob, Charlie, Dave | as production: no sudo, no software evidence, long periods |
//!
//! Their keys are the published development keys: none of them is for value. All have the same bonds
//! and bounds of staking, a tenth of the issuance in the reserve that pays stakers, and one account
//! whose PHA vests over a year.

use crate::{
	config::{
		consensus::BABE_GENESIS_EPOCH_CONFIG,
		money::{TreasuryAccountId, EXISTENTIAL_DEPOSIT},
		staking::{CANDIDATES_MAX, MIN_NOMINATOR_BOND, MIN_VALIDATOR_BOND, NOMINATORS_MAX},
	},
	currency::{ISSUANCE, PHA},
	opaque::SessionKeys,
	origins::VALIDATORS_MIN,
	parameters::{self, NetworkParameters},
	reserve,
	time::DAYS,
	AccountId, Balance, BalancesConfig, BlockNumber, Requests, RuntimeGenesisConfig,
	StakingReserve,
};
use alloc::{vec, vec::Vec};
use frame_support::build_struct_json_patch;
use pallet_staking::StakerStatus;
use phala_protocol::evidence::DEVELOPMENT_ROOT_PUBLIC;
use serde_json::Value;
use sp_core::hex2array;
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use sp_runtime::Perbill;

/// Name of the preset of `--chain staging`.
pub const STAGING: &str = "staging";

/// What each development validator bonds.
const VALIDATOR_BOND: Balance = 1_000_000 * PHA;

/// What is set aside for stakers.
pub(crate) const RESERVE: Balance = ISSUANCE / 10;
/// What a year pays them: the reserve lasts for ten at least.
pub(crate) const RESERVE_PER_YEAR: Balance = RESERVE / 10;

/// Whose PHA vests, all but [`LIQUID`] of it, in equal parts over [`VESTING_BLOCKS`].
pub(crate) const VESTING: Sr25519Keyring = Sr25519Keyring::FerdieStash;
const VESTING_BLOCKS: BlockNumber = 365 * DAYS;
const LIQUID: Balance = 1_000_000 * PHA;

const ONE: [Sr25519Keyring; 1] = [Sr25519Keyring::Alice];
pub(crate) const FOUR: [Sr25519Keyring; 4] =
	[Sr25519Keyring::Alice, Sr25519Keyring::Bob, Sr25519Keyring::Charlie, Sr25519Keyring::Dave];

/// The session keys of a development validator: those that a node makes of its seed, `//Alice` for
/// `--alice`. No keyring has the ECDSA ones.
pub(crate) fn session_keys(of: Sr25519Keyring) -> SessionKeys {
	let (grandpa, beefy) = match of {
		Sr25519Keyring::Bob => (
			Ed25519Keyring::Bob,
			hex2array!("0390084fdbf27d2b79d26a4f13f0ccd982cb755a661969143c37cbc49ef5b91f27"),
		),
		Sr25519Keyring::Charlie => (
			Ed25519Keyring::Charlie,
			hex2array!("0389411795514af1627765eceffcbd002719f031604fadd7d188e2dc585b4e1afb"),
		),
		Sr25519Keyring::Dave => (
			Ed25519Keyring::Dave,
			hex2array!("03bc9d0ca094bd5b8b3225d7651eac5d18c1c04bf8ae8f8b263eebca4e1410ed0c"),
		),
		_ => (
			Ed25519Keyring::Alice,
			hex2array!("020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"),
		),
	};
	SessionKeys {
		babe: of.public().into(),
		grandpa: grandpa.public().into(),
		authority_discovery: of.public().into(),
		beefy: sp_core::ecdsa::Public::from_raw(beefy).into(),
	}
}

/// The whole issuance: the reserve, what keeps the pot of escrows alive, and the rest in equal parts to
/// the well-known accounts and the treasury.
fn endowed() -> Vec<(AccountId, Balance)> {
	let mut accounts: Vec<AccountId> =
		Sr25519Keyring::well_known().map(|key| key.to_account_id()).collect();
	let share = (ISSUANCE - RESERVE) / (accounts.len() as Balance + 1);
	let rest = ISSUANCE - RESERVE - share * accounts.len() as Balance;
	let mut balances: Vec<_> = accounts.drain(..).map(|account| (account, share)).collect();
	balances.push((TreasuryAccountId::get(), rest - EXISTENTIAL_DEPOSIT));
	balances.push((Requests::escrow(), EXISTENTIAL_DEPOSIT));
	balances.push((StakingReserve::account(), RESERVE));
	balances
}

fn genesis(
	validators: &[Sr25519Keyring],
	network: NetworkParameters,
	sudo: Option<AccountId>,
	software_root: Option<[u8; 32]>,
) -> Value {
	let count = validators.len() as u32;
	build_struct_json_patch!(RuntimeGenesisConfig {
		parameters: parameters::GenesisConfig { network },
		balances: BalancesConfig { balances: endowed() },
		babe: pallet_babe::GenesisConfig { epoch_config: BABE_GENESIS_EPOCH_CONFIG },
		session: pallet_session::GenesisConfig {
			keys: validators
				.iter()
				.map(|key| (key.to_account_id(), key.to_account_id(), session_keys(*key)))
				.collect::<Vec<_>>(),
		},
		// Nobody votes yet: a vote of the chain names the first block when there is something to
		// vote with.
		beefy: pallet_beefy::GenesisConfig { authorities: vec![], genesis_block: None },
		staking: pallet_staking::GenesisConfig {
			validator_count: count,
			minimum_validator_count: count.min(VALIDATORS_MIN),
			min_validator_bond: MIN_VALIDATOR_BOND,
			min_nominator_bond: MIN_NOMINATOR_BOND,
			max_validator_count: Some(CANDIDATES_MAX),
			max_nominator_count: Some(NOMINATORS_MAX),
			slash_reward_fraction: Perbill::from_percent(10),
			stakers: validators
				.iter()
				.map(|key| {
					let id = key.to_account_id();
					(id.clone(), id, VALIDATOR_BOND, StakerStatus::<AccountId>::Validator)
				})
				.collect::<Vec<_>>(),
		},
		staking_reserve: reserve::GenesisConfig { per_year: RESERVE_PER_YEAR },
		vesting: pallet_vesting::GenesisConfig {
			vesting: vec![(VESTING.to_account_id(), 0, VESTING_BLOCKS, LIQUID)],
		},
		sudo: pallet_sudo::GenesisConfig { key: sudo },
		registry: pallet_registry::GenesisConfig { software_root },
	})
}

/// The genesis patch of a preset.
pub fn get(id: &PresetId) -> Option<Vec<u8>> {
	let sudo = Sr25519Keyring::Alice.to_account_id();
	let patch = match id.as_ref() {
		sp_genesis_builder::DEV_RUNTIME_PRESET => {
			genesis(&ONE, NetworkParameters::DEVELOPMENT, Some(sudo), Some(DEVELOPMENT_ROOT_PUBLIC))
		}
		sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET => {
			genesis(&FOUR, NetworkParameters::DEVELOPMENT, None, Some(DEVELOPMENT_ROOT_PUBLIC))
		}
		STAGING => genesis(&FOUR, NetworkParameters::PRODUCTION, None, None),
		_ => return None,
	};
	serde_json::to_vec(&patch).ok()
}

/// All presets.
pub fn names() -> Vec<PresetId> {
	vec![
		PresetId::from(sp_genesis_builder::DEV_RUNTIME_PRESET),
		PresetId::from(sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET),
		PresetId::from(STAGING),
	]
}
