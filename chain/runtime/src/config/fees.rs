//! What a transaction costs: `inclusion fee = base + length + multiplier · weight`, and a tip.
//!
//! | part | rule |
//! |---|---|
//! | base, weight | [`BlockRatioFee`], for the least that every transaction takes and for its own |
//! | length | [`TransactionByteFee`] a byte |
//! | multiplier | moves with how full blocks are, never below [`MinimumMultiplier`] |

use super::money::FeesToTreasuryAndAuthor;
use crate::{currency::CENTS, Balance, Balances, Runtime, RuntimeEvent};
use frame_support::{
	parameter_types,
	traits::ConstU8,
	weights::{ConstantMultiplier, Weight, WeightToFee},
};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{traits::Bounded, FixedPointNumber, FixedU128, Perquintill, Saturating};

/// A fee by the share of a block that a weight takes, in the dimension of which it takes more: time
/// or size of proof. `P / Q` of the smallest unit for each picosecond, so a full block costs
/// `P / Q` times its time, whichever dimension is full.
///
/// An EVM counts one quantity, gas, and has to be able to turn a fee back into a weight: so this is
/// the one rule that `pallet-revive` works with, figure for figure, and no fee moves when it comes.
pub struct BlockRatioFee<const P: u128, const Q: u128>;

impl<const P: u128, const Q: u128> BlockRatioFee<P, Q> {
	/// Fee of a picosecond.
	const OF_TIME: FixedU128 = {
		assert!(P > 0 && Q > 0, "the fee of a picosecond is a ratio of two positive numbers");
		FixedU128::from_rational(P, Q)
	};

	/// Fee of a byte of proof: all of the bytes that a block may have cost what all of its time does.
	fn of_proof() -> FixedU128 {
		let block = <Runtime as frame_system::Config>::BlockWeights::get().max_block;
		let time_a_byte =
			FixedU128::from_rational(block.ref_time().into(), block.proof_size().into());
		Self::OF_TIME.saturating_mul(time_a_byte)
	}
}

impl<const P: u128, const Q: u128> WeightToFee for BlockRatioFee<P, Q> {
	type Balance = Balance;

	fn weight_to_fee(weight: &Weight) -> Balance {
		let time = Self::OF_TIME.saturating_mul_int(Balance::from(weight.ref_time()));
		let proof = Self::of_proof().saturating_mul_int(Balance::from(weight.proof_size()));
		time.max(proof)
	}
}

/// A full block, two thirds of a second, costs 10 PHA while the multiplier is 1, its least.
pub type RuntimeWeightToFee = BlockRatioFee<15, 1>;

parameter_types! {
	/// A full block, 5 MiB, costs as much by its length as by its weight while the multiplier is 1.
	/// The multiplier does not move it, and bytes do not move the multiplier.
	pub const TransactionByteFee: Balance = CENTS / 5_000;
	/// The multiplier rests while blocks are this full.
	pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
	/// How fast it moves: doubled after five hours of blocks that are full of users' transactions,
	/// half of it gone after fifteen hours of empty ones.
	pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(1, 10_000);
	/// A quiet chain is no cheaper to flood than a busy one: the users' three quarters of a block cost
	/// seven and a half PHA, 324,000 a day, before the multiplier rises.
	pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_integer(1);
	pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_transaction_payment::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type OnChargeTransaction = FungibleAdapter<Balances, FeesToTreasuryAndAuthor>;
	type OperationalFeeMultiplier = ConstU8<5>;
	type WeightToFee = RuntimeWeightToFee;
	type LengthToFee = ConstantMultiplier<Balance, TransactionByteFee>;
	type FeeMultiplierUpdate = TargetedFeeAdjustment<
		Self,
		TargetBlockFullness,
		AdjustmentVariable,
		MinimumMultiplier,
		MaximumMultiplier,
	>;
	type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}
