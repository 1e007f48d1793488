//! Everybody at once, at random: users, operators, enclaves, validators and voters send signed
//! extrinsics to the real runtime, most of them wrong in some way, and after each block
//! [`oracle::check`](crate::test_support::oracle::check) counts every planck.
//!
//! `make test` runs a short one. A long one: `PHALA_RANDOM_BLOCKS=20000 PHALA_RANDOM_SEED=7`, or
//! `make random`.

mod actors;
mod chain;

use self::{actors::Actors, chain::Chain};
use crate::{test_support::oracle, tests::genesis, Runtime};
use sp_keyring::Sr25519Keyring;
use std::env;

/// SplitMix64: small, seeded, the same everywhere.
pub struct Random(pub u64);

impl Random {
	pub fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut mixed = self.0;
		mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		mixed ^ (mixed >> 31)
	}

	/// From 0, without `end`.
	pub fn below(&mut self, end: u64) -> u64 {
		self.next() % end.max(1)
	}

	pub fn one_in(&mut self, n: u64) -> bool {
		self.below(n) == 0
	}

	pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
		from.get(self.below(from.len() as u64) as usize)
	}

	pub fn bytes(&mut self) -> [u8; 32] {
		let mut bytes = [0; 32];
		for part in bytes.chunks_mut(8) {
			part.copy_from_slice(&self.next().to_le_bytes());
		}
		bytes
	}
}

/// Extrinsics of one block at most.
const EXTRINSICS_MAX: u64 = 16;

/// A network on which everybody has acted for so many blocks.
fn played(seed: u64, blocks: u32) -> (sp_io::TestExternalities, Actors) {
	let mut network = genesis("local_testnet");
	let mut random = Random(seed);
	let (mut chain, mut actors) = (Chain::begin(), Actors::new());
	// Several validators, and a key that does at once what a vote takes long for.
	network
		.execute_with(|| pallet_sudo::Key::<Runtime>::put(Sr25519Keyring::Alice.to_account_id()));
	let start = network.execute_with(oracle::Start::now);
	for number in 1..=blocks {
		network.execute_with(|| {
			chain.open_block(&mut random);
			actors.see();
			for _ in 0..random.below(EXTRINSICS_MAX) {
				actors.act(&mut chain, &mut random);
			}
			chain.close_block();
			if let Err(found) = oracle::check(&start) {
				panic!("seed {seed}, block {number}: {found}");
			}
		});
		network.commit_all().expect("no transaction is open");
	}
	(network, actors)
}

/// The state that everybody left, for tests of what comes after.
pub fn worked_on(seed: u64, blocks: u32) -> sp_io::TestExternalities {
	played(seed, blocks).0
}

fn run(seed: u64, blocks: u32) {
	let (_, actors) = played(seed, blocks);
	let (done, refused) = actors.counts();
	println!("seed {seed}: {blocks} blocks, {done} extrinsics done, {refused} refused");
	let missing: Vec<_> =
		actors::MUST_HAPPEN.into_iter().filter(|kind| actors.happened(kind) == 0).collect();
	assert!(missing.is_empty(), "seed {seed}: in {blocks} blocks nobody {}", missing.join(", "));
}

fn from_environment(name: &str) -> Option<u64> {
	let value = env::var(name).ok()?;
	Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, and must be a number")))
}

#[test]
fn whatever_anybody_sends_money_is_conserved_and_every_hold_is_explained() {
	let seed = from_environment("PHALA_RANDOM_SEED").unwrap_or(4);
	let blocks = from_environment("PHALA_RANDOM_BLOCKS").unwrap_or(400);
	run(seed, blocks as u32);
}

#[test]
fn an_oracle_that_is_shown_a_forger_s_planck_finds_it() {
	genesis("local_testnet").execute_with(|| {
		let mut chain = Chain::begin();
		let start = oracle::Start::now();
		chain.open_block(&mut Random(1));
		chain.close_block();
		assert_eq!(oracle::check(&start), Ok(()));
		let forger = sp_keyring::Sr25519Keyring::Ferdie.to_account_id();
		frame_system::Account::<crate::Runtime>::mutate(forger, |account| account.data.free += 1);
		assert!(oracle::check(&start).is_err());
	});
}
