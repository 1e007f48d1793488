//! A runtime with bonds and real balances, and a user of bonds that tests bend at will.

use crate as pallet_bonding;
use frame_support::{
	derive_impl, parameter_types,
	traits::{
		fungible::{Credit, InspectHold},
		ConstU128, ConstU32, OnUnbalanced,
	},
};
use phala_protocol::{bonding::BondId, traits::BondUsers, Balance};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Balances: pallet_balances,
		Bonding: pallet_bonding,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
	type AccountStore = System;
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<1>;
	type RuntimeHoldReason = RuntimeHoldReason;
}

parameter_types! {
	/// Bonds that answer for something now.
	pub static Answering: Vec<BondId> = Vec::new();
	/// Bonds that were reported.
	pub static Exhausted: Vec<BondId> = Vec::new();
}

pub struct MockUsers;

impl BondUsers for MockUsers {
	fn is_answering(bond: BondId) -> bool {
		Answering::get().contains(&bond)
	}

	fn on_exhausted(bond: BondId) {
		Exhausted::mutate(|exhausted| exhausted.push(bond));
	}
}

/// Keeps what was slashed in an account.
pub struct ToTreasury;

impl OnUnbalanced<Credit<AccountId32, Balances>> for ToTreasury {
	fn on_nonzero_unbalanced(credit: Credit<AccountId32, Balances>) {
		use frame_support::traits::fungible::Balanced;
		Balances::resolve(&TREASURY, credit).map_err(drop).unwrap();
	}
}

/// One of the smallest units is a PHA here.
pub const STAKE: Balance = 1_000;
pub const MINIMUM: Balance = 900;
pub const GATEKEEPER_STAKE: Balance = 2_000;
pub const GATEKEEPER_MINIMUM: Balance = 1_500;
pub const UNBONDING_BLOCKS: u32 = 100;

impl pallet_bonding::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Slashed = ToTreasury;
	type Users = MockUsers;
	type UnbondingBlocks = ConstU32<UNBONDING_BLOCKS>;
	type WorkerStake = ConstU128<STAKE>;
	type WorkerMinimum = ConstU128<MINIMUM>;
	type GatekeeperStake = ConstU128<GATEKEEPER_STAKE>;
	type GatekeeperMinimum = ConstU128<GATEKEEPER_MINIMUM>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
}

pub const TREASURY: AccountId32 = AccountId32::new([9; 32]);
pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
pub const FUNDS: Balance = 10_000;

/// What must hold after every call: no PHA was made or lost, and every hold is explained.
pub fn assert_conserved() {
	let accounts = [ALICE, BOB, TREASURY];
	let all: Balance = accounts
		.iter()
		.map(|account| Balances::free_balance(account) + Balances::total_balance_on_hold(account))
		.sum();
	assert_eq!(all, Balances::total_issuance());
	assert_eq!(all, accounts.len() as Balance * FUNDS);
	for account in accounts {
		let bonded: Balance = crate::Bonds::<Runtime>::iter_values()
			.filter(|bond| bond.account == account)
			.map(|bond| bond.total())
			.sum();
		let held = Balances::balance_on_hold(&crate::HoldReason::Bond.into(), &account);
		assert_eq!(held, bonded, "{account:?}");
	}
	for bond in crate::Bonds::<Runtime>::iter_values() {
		assert!(bond.unbonding.iter().all(|chunk| chunk.amount > 0));
		assert!(bond.unbonding.is_sorted_by_key(|chunk| chunk.until));
	}
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = RuntimeGenesisConfig {
		system: Default::default(),
		balances: pallet_balances::GenesisConfig {
			balances: vec![(ALICE, FUNDS), (BOB, FUNDS), (TREASURY, FUNDS)],
			..Default::default()
		},
	}
	.build_storage()
	.unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	ext.execute_with(|| {
		Answering::set(Vec::new());
		Exhausted::set(Vec::new());
		System::set_block_number(10);
	});
	ext
}
