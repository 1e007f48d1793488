//! What a transaction costs.

use super::{endowed_alice, genesis};
use crate::{
	config::{
		fees::{MinimumMultiplier, RuntimeWeightToFee},
		system::MAXIMUM_BLOCK_WEIGHT,
	},
	*,
};
use frame_support::{
	dispatch::GetDispatchInfo,
	weights::{Weight, WeightToFee},
};
use pallet_transaction_payment::{Multiplier, MultiplierUpdate};
use sp_runtime::{
	traits::{Convert, One},
	FixedPointNumber,
};

/// In millionths of a PHA.
const MICROS: Balance = currency::PHA / 1_000_000;

fn fee(weight: Weight) -> Balance {
	RuntimeWeightToFee::weight_to_fee(&weight)
}

/// The rule before this one: 10 PHA a full block, by time alone.
fn old_fee(weight: Weight) -> Balance {
	Balance::from(weight.ref_time()) * 10 * currency::PHA
		/ Balance::from(MAXIMUM_BLOCK_WEIGHT.ref_time())
}

#[test]
fn a_full_block_costs_ten_pha_in_either_dimension() {
	let (time, proof) = (MAXIMUM_BLOCK_WEIGHT.ref_time(), MAXIMUM_BLOCK_WEIGHT.proof_size());
	// 666,666,666,666 picoseconds at 15 each.
	assert_eq!(fee(Weight::from_parts(time, 0)), 9_999_999_999_990);
	let by_proof = fee(Weight::from_parts(0, proof));
	assert!(by_proof.abs_diff(9_999_999_999_990) < MICROS, "{by_proof}");
	// The fuller dimension counts, not their sum.
	assert_eq!(fee(MAXIMUM_BLOCK_WEIGHT), by_proof.max(9_999_999_999_990));
	assert_eq!(fee(Weight::from_parts(time / 4, proof / 2)), fee(Weight::from_parts(0, proof / 2)));
	assert_eq!(fee(Weight::from_parts(time / 2, proof / 4)), fee(Weight::from_parts(time / 2, 0)));
}

#[test]
fn more_time_more_proof_or_more_bytes_never_cost_less() {
	genesis("development").execute_with(|| {
		let steps = || (0..64).map(|power| 1u64 << power).chain([u64::MAX]);
		let mut before = 0;
		for time in steps() {
			let now = fee(Weight::from_parts(time, 3));
			assert!(now >= before && now >= 15 * Balance::from(time), "{time} ps cost {now}");
			before = now;
		}
		before = 0;
		for proof in steps() {
			let now = fee(Weight::from_parts(3, proof));
			assert!(now >= before, "{proof} bytes of proof cost {now}");
			before = now;
		}
		before = 0;
		for power in 0..23 {
			let now = TransactionPayment::length_to_fee(1 << power);
			assert!(now > before, "2^{power} bytes cost {now}");
			before = now;
		}
	});
}

#[test]
fn a_transfer_costs_what_it_did_under_the_old_rule() {
	genesis("development").execute_with(|| {
		let call = RuntimeCall::from(pallet_balances::Call::transfer_keep_alive {
			dest: endowed_alice().into(),
			value: currency::PHA,
		});
		let info = call.get_dispatch_info();
		let base =
			<Runtime as frame_system::Config>::BlockWeights::get().get(info.class).base_extrinsic;
		// A signed transfer's length, and no tip.
		let length = 150;
		let paid = TransactionPayment::compute_fee(length, &info, 0);
		let bytes = TransactionPayment::length_to_fee(length);
		assert_eq!(bytes, 150 * MICROS);
		let before = old_fee(base) + bytes + old_fee(info.total_weight());
		assert!(paid.abs_diff(before) <= 1, "{paid} now, {before} under the old rule");
		// Some thousandths of a PHA: 1,000 transfers for a few PHA.
		let range = 2_000 * MICROS..10_000 * MICROS;
		assert!(range.contains(&paid), "{paid}");
	});
}

#[test]
fn the_multiplier_falls_to_a_tenth_on_a_quiet_chain_and_no_further() {
	type Update = <Runtime as pallet_transaction_payment::Config>::FeeMultiplierUpdate;
	genesis("development").execute_with(|| {
		// An empty block takes two and a half parts in a million off: half in six days.
		let after_one = Multiplier::one() - Update::convert(Multiplier::one());
		let millionths = after_one.saturating_mul_int(1_000_000_000u128);
		assert!((2_499..=2_500).contains(&millionths), "{millionths} in 10⁹");

		let tenth = Multiplier::saturating_from_rational(1, 10);
		let mut multiplier = Multiplier::saturating_from_rational(100_001, 1_000_000);
		let mut blocks = 0;
		while multiplier > tenth {
			let next = Update::convert(multiplier);
			assert!(next < multiplier, "stuck at {multiplier}");
			(multiplier, blocks) = (next, blocks + 1);
		}
		assert_eq!(blocks, 4, "the last hundred-thousandth of it");
		assert_eq!(Update::convert(multiplier), tenth);
		assert_eq!(Update::min(), tenth);
	});
}

#[test]
fn an_evm_can_share_the_rule() {
	// What pallet-revive's integrity test asks of the chain that it is put into.
	assert!(MinimumMultiplier::get() > Multiplier::default(), "gas always has a price");
	// From 12 decimals to 18: the price of gas is a whole number of the EVM's smallest unit.
	assert!(MinimumMultiplier::get().saturating_mul_int(1_000_000u128) > 0);
	assert!(fee(Weight::from_parts(1, 0)) > 0, "time has a price");
	assert!(fee(Weight::from_parts(0, u64::MAX)) > 0, "a proof has a price");
}
