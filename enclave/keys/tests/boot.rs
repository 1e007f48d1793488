//! Boot keys sign as Substrate signs.

mod common;

use codec::Encode;
use common::Dice;
use phala_keys::{
	boot::{verify_statement, BootKeys},
	secret::Secret32,
	sr25519,
};
use sp_core::{sr25519 as substrate, Pair};

#[derive(Encode)]
struct Statement {
	domain: phala_protocol::domains::Domain,
	text: Vec<u8>,
}

fn statement() -> Statement {
	Statement { domain: phala_protocol::domains::DKG_DEALING, text: b"dealt".to_vec() }
}

#[test]
fn what_a_boot_signs_substrate_verifies() {
	let mut dice = Dice::seeded(1);
	let keys = BootKeys::generate(&mut *dice);
	let signature = keys.sign(&mut *dice, &statement());
	assert!(substrate::Pair::verify(
		&substrate::Signature::from_raw(signature),
		statement().encode(),
		&substrate::Public::from_raw(keys.public().identity),
	));
}

#[test]
fn what_substrate_signs_is_verified_here() {
	let pair = substrate::Pair::from_seed(&[7; 32]);
	let signature = pair.sign(&statement().encode()).0;
	assert!(verify_statement(&pair.public().0, &statement(), &signature));
	assert!(sr25519::verify(&pair.public().0, &statement().encode(), &signature));
}

#[test]
fn two_signatures_of_one_statement_differ_and_both_are_good() {
	let mut dice = Dice::seeded(2);
	let keys = BootKeys::generate(&mut *dice);
	let first = keys.sign(&mut *dice, &statement());
	let second = keys.sign(&mut *dice, &statement());
	assert_ne!(first, second);
	for signature in [first, second] {
		assert!(verify_statement(&keys.public().identity, &statement(), &signature));
	}
}

#[test]
fn a_signature_by_another_over_another_or_altered_is_not_good() {
	let mut dice = Dice::seeded(3);
	let keys = BootKeys::generate(&mut *dice);
	let other = BootKeys::generate(&mut *dice);
	let signature = keys.sign(&mut *dice, &statement());
	let identity = keys.public().identity;
	assert!(!verify_statement(&other.public().identity, &statement(), &signature));
	let altered = Statement { domain: phala_protocol::domains::PARTIAL_RELEASE, ..statement() };
	assert!(!verify_statement(&identity, &altered, &signature));
	for bit in 0..512 {
		let mut altered = signature;
		altered[bit / 8] ^= 1 << (bit % 8);
		assert!(!verify_statement(&identity, &statement(), &altered), "bit {bit}");
	}
	assert!(!verify_statement(&[0xff; 32], &statement(), &signature), "no point at all");
}

#[test]
fn two_boots_share_no_key() {
	let mut dice = Dice::seeded(4);
	let first = BootKeys::generate(&mut *dice).public();
	let second = BootKeys::generate(&mut *dice).public();
	assert_ne!(first.identity, second.identity);
	assert_ne!(first.encryption, second.encryption);
	assert!(Secret32::random(&mut *dice) != Secret32::random(&mut *dice));
}
