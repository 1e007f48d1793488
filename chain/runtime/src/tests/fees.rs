//! What a transaction costs.

use super::{blocks, endowed_alice, genesis};
use crate::{
	config::{
		fees::{MinimumMultiplier, RuntimeWeightToFee},
		system::MAXIMUM_BLOCK_WEIGHT,
	},
	*,
};
use frame_support::{
	dispatch::{DispatchClass, GetDispatchInfo},
	storage::{with_transaction_unchecked, TransactionOutcome},
	traits::fungible::Inspect,
	weights::{Weight, WeightToFee},
};
use pallet_transaction_payment::{Multiplier, MultiplierUpdate};
use sp_runtime::{
	traits::{Convert, One},
	transaction_validity::InvalidTransaction,
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
fn a_transfer_costs_what_it_did_under_the_old_rule_but_for_its_bytes() {
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
		assert_eq!(bytes, 300 * MICROS);
		let before = old_fee(base) + bytes + old_fee(info.total_weight());
		assert!(paid.abs_diff(before) <= 1, "{paid} now, {before} under the old rule");
		// Some thousandths of a PHA: 1,000 transfers for a few PHA.
		let range = 2_000 * MICROS..10_000 * MICROS;
		assert!(range.contains(&paid), "{paid}");
	});
}

type Update = <Runtime as pallet_transaction_payment::Config>::FeeMultiplierUpdate;

#[test]
fn the_multiplier_falls_to_one_on_a_quiet_chain_and_no_further() {
	genesis("development").execute_with(|| {
		// An empty block takes twenty-five parts in a million off: half in fifteen hours.
		let after_one = Multiplier::saturating_from_integer(2)
			- Update::convert(Multiplier::saturating_from_integer(2));
		let parts = after_one.saturating_mul_int(1_000_000_000u128) / 2;
		assert!((24_999..=25_000).contains(&parts), "{parts} in 10⁹");

		let mut multiplier = Multiplier::saturating_from_rational(10_001, 10_000);
		let mut blocks = 0;
		while multiplier > Multiplier::one() {
			let next = Update::convert(multiplier);
			assert!(next < multiplier, "stuck at {multiplier}");
			(multiplier, blocks) = (next, blocks + 1);
		}
		assert_eq!(blocks, 4, "the last ten-thousandth above it");
		assert_eq!(Update::convert(multiplier), Multiplier::one());
		assert_eq!(Update::min(), Multiplier::one());
	});
}

/// A stranger who wants blocks full, and nobody else's transactions in them.
struct Flooder {
	key: sp_core::sr25519::Pair,
	sent: Nonce,
}

impl Flooder {
	/// With all of an account's PHA.
	fn rich() -> Self {
		Self { key: sp_core::Pair::from_string("//Eve", None).unwrap(), sent: 0 }
	}

	fn account(&self) -> AccountId {
		sp_keyring::Sr25519Keyring::Eve.to_account_id()
	}

	/// Sends `call` until no more of it fits into the block; how many did.
	fn fill_with(&mut self, call: &RuntimeCall) -> u32 {
		let mut fitted = 0;
		loop {
			let transaction = super::transactions::signed(&self.key, self.sent, call.clone());
			// As a block's builder does: what does not fit leaves nothing behind.
			let applied =
				with_transaction_unchecked(|| match Executive::apply_extrinsic(transaction) {
					Ok(done) => TransactionOutcome::Commit(Ok(done)),
					Err(full) => TransactionOutcome::Rollback(Err(full)),
				});
			match applied {
				Ok(done) => done.expect("a remark succeeds"),
				Err(full) => {
					assert_eq!(full, InvalidTransaction::ExhaustsResources.into());
					return fitted;
				}
			}
			self.sent += 1;
			fitted += 1;
		}
	}

	/// What one block full of `calls`, one kind after the other, costs him; he makes none of them.
	fn cost_of_a_block(&mut self, calls: &[RuntimeCall]) -> Balance {
		let before = Balances::total_balance(&self.account());
		blocks::next(1, || {
			for call in calls {
				self.fill_with(call);
			}
		});
		before - Balances::total_balance(&self.account())
	}
}

fn remark(bytes: usize) -> RuntimeCall {
	frame_system::Call::remark { remark: vec![0; bytes] }.into()
}

/// Most that a transaction weighs, roughly: users' calls that do nothing, in one.
fn heavy() -> RuntimeCall {
	let calls = vec![remark(0); 5_000];
	pallet_utility::Call::batch { calls }.into()
}

#[test]
fn a_full_block_costs_a_flooder_seven_pha_at_the_floor_by_weight_or_by_bytes() {
	genesis("development").execute_with(|| {
		blocks::next(1, || ());
		let mut flooder = Flooder::rich();
		let floor = || pallet_transaction_payment::NextFeeMultiplier::<Runtime>::get();
		assert_eq!(floor(), MinimumMultiplier::get());

		// What is left by the heavy ones he fills with light ones.
		let by_weight = flooder.cost_of_a_block(&[heavy(), remark(0)]);
		assert!(floor() > MinimumMultiplier::get(), "and the next one costs more");
		let by_bytes = flooder.cost_of_a_block(&[remark(1_000_000), remark(10_000), remark(0)]);
		for (what, cost) in [("weight", by_weight), ("bytes", by_bytes)] {
			println!(
				"a block full by {what} costs {:.2} PHA at the floor, {:.0} a day",
				cost as f64 / currency::PHA as f64,
				cost as f64 / currency::PHA as f64 * f64::from(time::DAYS)
			);
			assert!(cost >= 7 * currency::PHA, "{what}: {cost}");
		}
	});
}

/// What users may have of a block.
fn users() -> Weight {
	let weights = <Runtime as frame_system::Config>::BlockWeights::get();
	weights.get(DispatchClass::Normal).max_total.expect("is bounded")
}

/// They have all of it.
fn fill_the_block() -> Weight {
	System::register_extra_weight_unchecked(users(), DispatchClass::Normal);
	users()
}

#[test]
fn a_flood_doubles_its_own_price_in_five_hours() {
	genesis("development").execute_with(|| {
		fill_the_block();
		let (mut multiplier, mut blocks) = (Multiplier::one(), 0);
		while multiplier < Multiplier::saturating_from_integer(2) {
			(multiplier, blocks) = (Update::convert(multiplier), blocks + 1);
		}
		let hours = f64::from(blocks) / f64::from(time::HOURS);
		assert!((5.0..5.5).contains(&hours), "{hours}");
	});
}

/// As of probes (`purses.rs`) and of requests (`room.rs`): docs/decisions/016 has the table.
#[test]
fn flooders_of_blocks_with_1_10_and_100_times_what_an_honest_user_spends_last_for_seconds_to_minutes(
) {
	genesis("development").execute_with(|| {
		let users = fill_the_block();
		let honest = 1_584 * currency::PHA / 100;
		let blocks = [1, 10, 100].map(|times| {
			let (mut purse, mut multiplier, mut blocks) = (times * honest, Multiplier::one(), 0u32);
			loop {
				let cost = multiplier.saturating_mul_int(fee(users));
				let Some(left) = purse.checked_sub(cost) else { return blocks };
				(purse, multiplier) = (left, Update::convert(multiplier));
				blocks += 1;
			}
		});
		assert_eq!(blocks, [2, 21, 209]);
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

/// Has an agent with the longest list of callers, and sets its price in every block as often as it goes, so
/// that nobody else's news get through.
struct NewsHound;

impl NewsHound {
	fn call() -> RuntimeCall {
		pallet_agents::Call::set_price { agent: Default::default(), unit_price: 1 }.into()
	}
}

#[test]
fn a_news_hound_that_fills_the_mailbox_pays_for_all_that_users_may_have_of_a_block() {
	use phala_protocol::limits;
	genesis("development").execute_with(|| {
		let room = limits::PUSHED_BYTES_PER_BLOCK_MAX - limits::VITAL_BYTES_PER_BLOCK;
		let calls = u64::from(room / pallet_agents::NEWS_BYTES_MAX);
		let all = NewsHound::call().get_dispatch_info().call_weight.ref_time() * calls;
		let users = users();
		assert!(all >= users.ref_time() / 100 * 99, "{all} of {users:?}");
		// And room is the scarcer of the two: nobody else is kept out for less.
		let messages = u64::from(limits::MESSAGES_PER_BLOCK_MAX - limits::VITAL_MESSAGES_PER_BLOCK);
		assert!(calls < messages);
		// Those of the shortest fill the room for messages instead, and pay for as much.
		let least = pallet_agents::Pallet::<Runtime>::least_news().ref_time();
		assert!(least * messages >= users.ref_time() / 100 * 99, "{least} for each of {messages}");
		// So do questions of the longest, however little work they are.
		let longest = limits::REQUEST_INPUT_BYTES_MAX;
		let asked = room / (longest + pallet_requests::ORDER_BYTES);
		let one = Requests::weight_to_holder(longest).ref_time();
		assert!(one * u64::from(asked) >= users.ref_time() / 100 * 98, "{one} for each of {asked}");
		// Vital ones too, which any operator has told as often as it likes, and which fill the room of others.
		let endpoint = b"http://w".to_vec();
		for vital in [
			RuntimeCall::from(pallet_clusters::Call::set_endpoint { worker: 0, endpoint }),
			pallet_registry::Call::renew_boot { worker: 0, evidence: vec![], recent_block: 0 }
				.into(),
		] {
			let one = vital.get_dispatch_info().call_weight.ref_time();
			assert!(one * messages >= users.ref_time(), "{one} for each of {messages}: {vital:?}");
		}
		// Boots on which nobody relies as well, of two messages each.
		let boots = Registry::weight_of_boot_of_nobody().ref_time() * messages / 2;
		assert!(boots >= users.ref_time() / 100 * 99, "{boots} of {users:?}");
	});
}
