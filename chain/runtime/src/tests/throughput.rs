//! How much a block takes, beside one of the stock template (`benches/stock-template`): of the same weight, on the
//! same database.

use super::{blocks, elections, endowed_alice, genesis, misses, stakes, transactions::signed};
use crate::*;
use frame_support::{
	dispatch::{DispatchClass, GetDispatchInfo},
	weights::Weight,
};
use phala_protocol::{
	requests::{RequestInput, RequestKind},
	H256,
};
use sp_core::Pair;
use sp_keyring::Sr25519Keyring;
use sp_runtime::transaction_validity::InvalidTransaction;

fn limits() -> frame_system::limits::BlockWeights {
	<Runtime as frame_system::Config>::BlockWeights::get()
}

fn transfer() -> RuntimeCall {
	let dest = Sr25519Keyring::Bob.to_account_id().into();
	pallet_balances::Call::transfer_keep_alive { dest, value: currency::PHA / 1_000 }.into()
}

/// A paid request of some 100 bytes, sealed.
fn request() -> RuntimeCall {
	pallet_requests::Call::submit {
		agent: H256::repeat_byte(1),
		kind: RequestKind::Call,
		input: RequestInput::Sealed(vec![0; 400]),
		max_fee: currency::PHA,
		deadline: 100,
		min_block: 0,
	}
	.into()
}

/// What a transaction with `call` takes of a block.
fn weight(call: &RuntimeCall) -> Weight {
	let info = call.get_dispatch_info();
	let signed = signed(&Sr25519Keyring::Alice.pair(), 0, call.clone());
	let extensions = signed.get_dispatch_info().extension_weight;
	let base = limits().get(DispatchClass::Normal).base_extrinsic;
	base + extensions + info.call_weight
}

/// What `benches/stock-template` says of the stock template, a runtime of its own, in blocks of this weight on this
/// database, with extensions weighed by it as ours are. (With RocksDB, its own, it is 658.)
const TRANSFERS_OF_THE_TEMPLATE: u32 = 1_092;

#[test]
fn a_block_takes_nearly_as_many_transfers_as_one_of_the_stock_template() {
	genesis("development").execute_with(|| {
		let alice = Sr25519Keyring::Alice.pair();
		assert_eq!(AccountId::from(alice.public()), endowed_alice());
		// Its first block sets up more than any other.
		blocks::next(1, || ());
		let (mut fitted, full) = (0, InvalidTransaction::ExhaustsResources.into());
		blocks::next(1, || loop {
			match Executive::apply_extrinsic(signed(&alice, fitted, transfer())) {
				Ok(done) => done.expect("alice has enough"),
				Err(error) if error == full => break,
				Err(error) => panic!("transfer {fitted}: {error:?}"),
			}
			fitted += 1;
		});
		let stock = TRANSFERS_OF_THE_TEMPLATE;
		println!("a block takes {fitted} transfers, one of the template {stock}");
		assert!(fitted * 100 >= stock * 95, "{fitted} of {stock}");
	});
}

/// Whose agents are asked, by turns.
const WORKERS: u64 = 4;
/// Agents of each.
const AGENTS: u64 = 4;
/// Requests of each caller and for each deadline: within what either may have.
const EACH: u32 = 32;

/// Whoever is to answer is in force: nobody else has to be looked for, and what that would take is given back.
#[test]
fn a_block_takes_two_hundred_paid_requests_and_a_hundred_whose_leases_must_all_be_given_anew() {
	genesis("development").execute_with(|| {
		let room = limits().get(DispatchClass::Normal).max_total.expect("is bounded");
		let fits = |one| room.checked_div_per_component(&one).expect("weighs something");
		let (anew, transfers) = (fits(weight(&request())), fits(weight(&transfer())));

		stakes::allow(stakes::CODE);
		blocks::next(1, || ());
		// So many that nobody's room is half full.
		let (_, mut agents) = misses::cluster_with(AGENTS);
		for _ in 1..WORKERS {
			misses::join(stakes::worker_of(&stakes::bob()));
			agents.extend((0..AGENTS).map(|_| misses::born()));
		}
		let callers: Vec<sp_core::sr25519::Pair> = (0..30)
			.map(|n| Pair::from_string(&format!("//Caller{n}"), None).expect("is a URI"))
			.collect();
		for caller in &callers {
			elections::endow(&caller.public().into(), 1_000 * currency::PHA);
		}
		let full = InvalidTransaction::ExhaustsResources.into();
		let mut fitted = 0;
		blocks::next(1, || loop {
			let (caller, nonce) = (&callers[(fitted / EACH) as usize], fitted % EACH);
			let deadline = misses::soonest() + fitted / EACH;
			let agent = agents[fitted as usize % agents.len()];
			let input = RequestInput::Sealed(vec![0; 400]);
			let (kind, max_fee, min_block) = (RequestKind::Call, 2 * currency::PHA, 0);
			let call = pallet_requests::Call::submit { agent, kind, input, max_fee, deadline, min_block };
			match Executive::apply_extrinsic(signed(caller, nonce, call.into())) {
				Ok(done) => done.expect("it is taken"),
				Err(error) if error == full => break,
				Err(error) => panic!("request {fitted}: {error:?}"),
			}
			fitted += 1;
		});
		println!("a block takes {fitted} requests, {anew} if each lease is given anew, {transfers} transfers");
		assert!(fitted >= 200 && anew >= 100, "{fitted}, {anew}");
	});
}
