//! What the tests share. Randomness is seeded; the seed is printed when a test fails, and
//! `PHALA_KEYS_SEED` runs all of them under another.

#![allow(dead_code)]

use core::ops::{Deref, DerefMut};
use phala_keys::{
	boot::BootKeys,
	dkg::{Ceremony, Dealer, Outcome, Player, Transcript},
	master::MasterShare,
};
use phala_protocol::H256;
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

pub const GENESIS: H256 = H256::repeat_byte(0x9e);

/// A seeded generator that tells its seed when the test fails.
pub struct Dice {
	seed: u64,
	rng: ChaCha20Rng,
}

impl Dice {
	pub fn seeded(default: u64) -> Self {
		let seed = std::env::var("PHALA_KEYS_SEED")
			.ok()
			.and_then(|seed| seed.parse().ok())
			.unwrap_or(default);
		Self::fixed(seed)
	}

	/// For frozen vectors, which no environment may change.
	pub fn fixed(seed: u64) -> Self {
		Self { seed, rng: ChaCha20Rng::seed_from_u64(seed) }
	}
}

impl Drop for Dice {
	fn drop(&mut self) {
		if std::thread::panicking() {
			eprintln!("failed under PHALA_KEYS_SEED={}", self.seed);
		}
	}
}

impl Deref for Dice {
	type Target = ChaCha20Rng;
	fn deref(&self) -> &ChaCha20Rng {
		&self.rng
	}
}

impl DerefMut for Dice {
	fn deref_mut(&mut self) -> &mut ChaCha20Rng {
		&mut self.rng
	}
}

/// A gatekeeper: its boot's keys and its share, at its index.
pub struct Gatekeeper {
	pub keys: BootKeys,
	pub share: MasterShare,
}

/// `members` boots, in the order of their identities.
pub fn boots(dice: &mut Dice, members: usize) -> Vec<BootKeys> {
	let mut boots: Vec<_> = (0..members).map(|_| BootKeys::generate(&mut **dice)).collect();
	boots.sort_by_key(|keys| keys.public());
	boots
}

/// A ceremony in which everybody is honest and everything arrives.
pub fn honest_ceremony(
	dice: &mut Dice,
	ceremony: &Ceremony,
	dealers: &[(&BootKeys, Option<&MasterShare>)],
	players: &[&BootKeys],
) -> (Outcome, Vec<MasterShare>) {
	let rng = &mut **dice;
	let mut states: Vec<_> =
		players.iter().map(|keys| Player::new(ceremony, keys).expect("is a player")).collect();
	let mut transcript = Transcript::new(ceremony);
	for (keys, share) in dealers {
		let (mut dealer, dealings) =
			Dealer::start(rng, ceremony, keys, *share).expect("is a dealer");
		for dealing in &dealings {
			let index = players
				.iter()
				.position(|keys| keys.public().identity == dealing.player)
				.expect("is a player");
			let acknowledgement =
				states[index].receive(players[index], dealing).expect("is a good dealing");
			dealer.receive(&acknowledgement).expect("is a good acknowledgement");
		}
		transcript.record(&dealer.finish()).expect("is a good log");
	}
	let outcome = transcript.outcome(rng).expect("enough dealers");
	let shares = states
		.into_iter()
		.map(|player| {
			let (own, share) = player.finish(rng, &transcript).expect("has its share");
			assert_eq!(own, outcome);
			share
		})
		.collect();
	(outcome, shares)
}

/// `members` gatekeepers with a new master key.
pub fn gatekeepers(dice: &mut Dice, members: usize, epoch: u32) -> (Outcome, Vec<Gatekeeper>) {
	let keys = boots(dice, members);
	let public: Vec<_> = keys.iter().map(BootKeys::public).collect();
	let ceremony = Ceremony::new_key(GENESIS, epoch, 0, &public).expect("a good ceremony");
	let players: Vec<_> = keys.iter().collect();
	let dealers: Vec<_> = keys.iter().map(|keys| (keys, None)).collect();
	let (outcome, shares) = honest_ceremony(dice, &ceremony, &dealers, &players);
	let gatekeepers =
		keys.into_iter().zip(shares).map(|(keys, share)| Gatekeeper { keys, share }).collect();
	(outcome, gatekeepers)
}
