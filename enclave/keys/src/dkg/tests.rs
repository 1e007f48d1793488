//! Ceremonies with villains. Each villain is named for what it does.

use super::*;
use crate::{
	master::{ClusterKeyMessage, VerifiedPartial},
	secret::Secret32,
};
use codec::DecodeAll;
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

const GENESIS: H256 = H256::repeat_byte(0x9e);
const EPOCH: Epoch = 1;

/// Everybody of one ceremony. The seed is in every panic message.
struct Scene {
	seed: u64,
	rng: ChaCha20Rng,
	keys: Vec<BootKeys>,
	ceremony: Ceremony,
}

/// What happens to a dealing or an acknowledgement on its way.
trait Villain {
	/// What a dealer sends instead of its dealings.
	fn deal(&self, _: &mut Scene, _dealer: usize, dealings: Vec<Dealing>) -> Vec<Dealing> {
		dealings
	}

	/// Whether a player acknowledges.
	fn acknowledges(&self, _player: usize) -> bool {
		true
	}
}

struct Nobody;
impl Villain for Nobody {}

/// These dealers send nothing and publish nothing.
struct SilentDealers(&'static [usize]);
impl Villain for SilentDealers {
	fn deal(&self, _: &mut Scene, dealer: usize, dealings: Vec<Dealing>) -> Vec<Dealing> {
		if self.0.contains(&dealer) {
			Vec::new()
		} else {
			dealings
		}
	}
}

/// This dealer sends these victims a share that is not on its polynomial.
struct WrongShareDealer {
	dealer: usize,
	victims: &'static [usize],
}
impl Villain for WrongShareDealer {
	fn deal(&self, scene: &mut Scene, dealer: usize, mut dealings: Vec<Dealing>) -> Vec<Dealing> {
		if dealer == self.dealer {
			for victim in self.victims {
				let mut wrong = Secret32::random(&mut scene.rng);
				while wrong.expose()[0] >= 0x70 {
					wrong = Secret32::random(&mut scene.rng);
				}
				scene.reseal(dealer, &mut dealings[*victim], wrong.expose());
			}
		}
		dealings
	}
}

/// This player acknowledges nothing, whatever it gets.
struct SilentPlayer(usize);
impl Villain for SilentPlayer {
	fn acknowledges(&self, player: usize) -> bool {
		player != self.0
	}
}

/// What a run of a ceremony came to.
struct Run {
	transcript: Transcript,
	players: Vec<Player>,
	/// What players said of dealers.
	accusations: Vec<(usize, Error)>,
}

impl Scene {
	fn new(seed: u64, members: usize) -> Self {
		let mut rng = ChaCha20Rng::seed_from_u64(seed);
		let keys = boots(&mut rng, members);
		let ceremony = Ceremony::new_key(GENESIS, EPOCH, 0, &public(&keys));
		let ceremony = ceremony.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
		Self { seed, rng, keys, ceremony }
	}

	fn identity(&self, member: usize) -> AccountBytes {
		self.keys[member].public().identity
	}

	fn start(&mut self, dealer: usize) -> (Dealer, Vec<Dealing>) {
		Dealer::start(&mut self.rng, &self.ceremony, &self.keys[dealer], None)
			.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
	}

	/// A villain's tool: another share in a dealing, properly sealed and signed.
	fn reseal(&mut self, dealer: usize, dealing: &mut Dealing, share: &[u8]) {
		let context = self.ceremony.share_context(dealing.dealer, dealing.player);
		let recipient = self.ceremony.player(&dealing.player).unwrap().encryption;
		dealing.sealed_share =
			hpke::seal(&mut self.rng, &EncryptionKey(recipient), &context, &[], share).unwrap();
		self.resign(dealer, dealing);
	}

	fn resign(&mut self, dealer: usize, dealing: &mut Dealing) {
		let statement = dealing.statement(&self.ceremony);
		dealing.signature = self.keys[dealer].sign(&mut self.rng, &statement);
	}

	fn player(&self, player: usize) -> Player {
		Player::new(&self.ceremony, &self.keys[player]).unwrap_or_else(|error| panic!("{error}"))
	}

	fn run(&mut self, villain: &impl Villain) -> Run {
		let mut players: Vec<_> = (0..self.keys.len()).map(|index| self.player(index)).collect();
		let mut transcript = Transcript::new(&self.ceremony);
		let mut accusations = Vec::new();
		for dealer in 0..self.keys.len() {
			let (mut state, dealings) = self.start(dealer);
			let dealings = villain.deal(self, dealer, dealings);
			if dealings.is_empty() {
				continue;
			}
			for (index, dealing) in dealings.iter().enumerate() {
				match players[index].receive(&self.keys[index], dealing) {
					Ok(acknowledgement) if villain.acknowledges(index) => state
						.receive(&acknowledgement)
						.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed)),
					Ok(_) => (),
					Err(error) => accusations.push((index, error)),
				}
			}
			assert_eq!(transcript.record(&state.finish()), Ok(self.identity(dealer)));
		}
		Run { transcript, players, accusations }
	}

	/// Everybody's shares, checked: all agree, every share is on the polynomial, any t sign, and
	/// t − 1 do not.
	fn conclude(&mut self, run: Run) -> (Outcome, Vec<MasterShare>) {
		let seed = self.seed;
		let outcome = run.transcript.outcome(&mut self.rng);
		let outcome = outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
		let mut shares = Vec::new();
		for (index, player) in run.players.into_iter().enumerate() {
			let (own, share) = player
				.finish(&mut self.rng, &run.transcript)
				.unwrap_or_else(|error| panic!("seed {seed}, player {index}: {error}"));
			assert_eq!(own, outcome, "seed {seed}");
			assert_eq!(share.index() as usize, index, "seed {seed}");
			assert_eq!(outcome.polynomial().check_share(&share), Ok(()), "seed {seed}");
			shares.push(share);
		}
		check_signing(&outcome, &shares);
		(outcome, shares)
	}
}

fn boots(rng: &mut ChaCha20Rng, members: usize) -> Vec<BootKeys> {
	let mut keys: Vec<_> = (0..members).map(|_| BootKeys::generate(rng)).collect();
	keys.sort_by_key(BootKeys::public);
	keys
}

fn public(keys: &[BootKeys]) -> Vec<BootPublicKeys> {
	keys.iter().map(BootKeys::public).collect()
}

fn check_signing(outcome: &Outcome, shares: &[MasterShare]) {
	let message = ClusterKeyMessage::new(7, 1);
	let polynomial = outcome.polynomial();
	let needed = polynomial.quorum() as usize;
	let mut partials: Vec<VerifiedPartial> = shares
		.iter()
		.rev()
		.take(needed)
		.map(|share| {
			polynomial.verify_partial(&message, share.partial_sign(&message)).ok().unwrap()
		})
		.collect();
	let signature = polynomial.combine(&message, &partials).ok().unwrap();
	assert_eq!(signature.verify(&outcome.master_public_key()), Ok(()));
	partials.pop();
	assert_eq!(
		polynomial.combine(&message, &partials).err(),
		Some(Error::NotEnoughPartials { have: needed as u32 - 1, needed: needed as u32 })
	);
}

#[test]
fn one_four_or_seven_honest_members_share_a_key_that_no_fewer_than_t_can_use() {
	for members in [1, 4, 7] {
		let mut scene = Scene::new(100 + members as u64, members);
		let run = scene.run(&Nobody);
		assert!(run.accusations.is_empty());
		let (outcome, _) = scene.conclude(run);
		assert_eq!(outcome.polynomial().players() as usize, members);
		assert_eq!(outcome.polynomial().quorum() as usize, members - (members - 1) / 3);
		assert!(outcome.revealed().is_empty());
		assert_eq!(outcome.players(), scene.ceremony.players().collect::<Vec<_>>());
	}
}

#[test]
fn a_silent_dealer_stops_nothing_and_still_gets_its_share() {
	for members in [4, 7] {
		let mut scene = Scene::new(110 + members as u64, members);
		let run = scene.run(&SilentDealers(&[1]));
		let silent = scene.identity(1);
		let (outcome, _) = scene.conclude(run);
		assert!(!outcome.dealers().contains(&silent));
		assert!(outcome.revealed().is_empty());
	}
}

#[test]
fn more_than_f_silent_dealers_are_named_and_there_is_no_key() {
	let mut scene = Scene::new(120, 4);
	let mut run = scene.run(&SilentDealers(&[0, 2]));
	let mut silent = vec![scene.identity(0), scene.identity(2)];
	silent.sort();
	let failed = Error::NotEnoughDealers { required: 3, found: 2, faulty: vec![], silent };
	assert_eq!(run.transcript.outcome(&mut scene.rng), Err(failed.clone()));
	let player = run.players.remove(1);
	assert_eq!(player.finish(&mut scene.rng, &run.transcript).err(), Some(failed));
}

#[test]
fn a_dealer_that_sends_a_wrong_share_is_named_by_its_victim_who_still_gets_a_good_one() {
	for members in [4, 7] {
		let mut scene = Scene::new(130 + members as u64, members);
		let run = scene.run(&WrongShareDealer { dealer: 0, victims: &[2] });
		let dealer = scene.identity(0);
		let why = "its share is not on its polynomial";
		assert_eq!(run.accusations, [(2, Error::DealerLied { dealer, why })]);
		let (outcome, _) = scene.conclude(run);
		assert!(outcome.revealed().is_empty(), "one revealed dealing is not the victim's share");
	}
}

#[test]
fn a_dealer_that_cheats_more_than_f_players_is_left_out() {
	let mut scene = Scene::new(140, 4);
	let run = scene.run(&WrongShareDealer { dealer: 3, victims: &[0, 1] });
	assert_eq!(run.accusations.len(), 2);
	let villain = scene.identity(3);
	let (outcome, _) = scene.conclude(run);
	assert!(!outcome.dealers().contains(&villain));
}

#[test]
fn a_player_that_acknowledges_nothing_has_its_share_revealed_and_is_listed() {
	let mut scene = Scene::new(150, 4);
	let run = scene.run(&SilentPlayer(2));
	let silent = scene.identity(2);
	let (outcome, _) = scene.conclude(run);
	assert_eq!(outcome.revealed(), [silent]);
}

#[test]
fn a_dealing_that_is_malformed_but_signed_names_its_dealer() {
	let mut scene = Scene::new(160, 4);
	let (_, dealings) = scene.start(0);
	let dealer = scene.identity(0);
	let lied = |why| Error::DealerLied { dealer, why };
	let mut refuse = |change: &dyn Fn(&mut Scene, &mut Dealing), why| {
		let mut dealing = dealings[1].clone();
		change(&mut scene, &mut dealing);
		scene.resign(0, &mut dealing);
		let keys = &scene.keys[1];
		assert_eq!(scene.player(1).receive(keys, &dealing), Err(lied(why)));
	};
	let count = "its polynomial has a wrong number of coefficients";
	refuse(&|_, dealing| dealing.commitment.truncate(2), count);
	refuse(&|_, dealing| dealing.commitment.push([0; 48]), count);
	let point = "its commitment holds bytes that are no point";
	refuse(&|_, dealing| dealing.commitment[0] = [0xff; 48], point);
	refuse(&|_, dealing| dealing.commitment[2] = infinity(), point);
	refuse(&|_, dealing| dealing.sealed_share.ciphertext[3] ^= 1, "its share does not open");
	let scalar = "its share is not a scalar";
	refuse(&|scene, dealing| scene.reseal(0, dealing, &[0; 32]), scalar);
	refuse(&|scene, dealing| scene.reseal(0, dealing, &[0xff; 32]), scalar);
	refuse(&|scene, dealing| scene.reseal(0, dealing, &[1; 31]), scalar);
	refuse(&|_, dealing| dealing.commitment.swap(0, 1), "its share is not on its polynomial");
}

fn infinity() -> [u8; 48] {
	let mut point = [0; 48];
	point[0] = 0xc0;
	point
}

#[test]
fn a_dealing_that_was_altered_or_is_for_another_ceremony_or_player_blames_nobody() {
	let mut scene = Scene::new(170, 4);
	let (_, dealings) = scene.start(0);
	let signer = scene.identity(0);
	let forged = Err(Error::BadSignature { what: "dealing", signer });
	let mut player = scene.player(1);
	let mut altered = dealings[1].clone();
	altered.sealed_share.ciphertext[0] ^= 1;
	assert_eq!(player.receive(&scene.keys[1], &altered), forged);
	let retry = Ceremony::new_key(GENESIS, EPOCH, 1, &public(&scene.keys)).ok().unwrap();
	let elsewhere = Ceremony::new_key([0; 32].into(), EPOCH, 0, &public(&scene.keys)).ok().unwrap();
	for other in [retry, elsewhere] {
		let mut player = Player::new(&other, &scene.keys[1]).ok().unwrap();
		assert_eq!(player.receive(&scene.keys[1], &dealings[1]), forged);
	}
	assert!(matches!(
		player.receive(&scene.keys[1], &dealings[2]),
		Err(Error::NotInCeremony { .. })
	));
	assert!(player.receive(&scene.keys[1], &dealings[1]).is_ok(), "nothing was spoilt");
}

#[test]
fn a_repeated_dealing_gets_the_same_acknowledgement_and_a_second_one_names_the_dealer() {
	let mut scene = Scene::new(180, 4);
	let (_, first) = scene.start(0);
	let (_, second) = scene.start(0);
	let mut player = scene.player(1);
	let acknowledgement = player.receive(&scene.keys[1], &first[1]);
	assert!(acknowledgement.is_ok());
	assert_eq!(player.receive(&scene.keys[1], &first[1]), acknowledgement);
	assert_eq!(
		player.receive(&scene.keys[1], &second[1]),
		Err(Error::DealerContradicted { dealer: scene.identity(0) })
	);
}

#[test]
fn an_acknowledgement_of_another_dealing_or_by_another_player_does_not_count() {
	let mut scene = Scene::new(190, 4);
	let (mut dealer, dealings) = scene.start(0);
	let (_, other) = scene.start(0);
	let player = scene.identity(1);
	let refused = Err(Error::BadAcknowledgement { player });
	let wrong = scene.player(1).receive(&scene.keys[1], &other[1]).unwrap();
	assert_eq!(dealer.receive(&wrong), refused);
	let good = scene.player(1).receive(&scene.keys[1], &dealings[1]).unwrap();
	let stolen = Acknowledgement { player: scene.identity(2), ..good.clone() };
	assert!(matches!(dealer.receive(&stolen), Err(Error::BadAcknowledgement { .. })));
	let misdirected = Acknowledgement { dealer: scene.identity(3), ..good.clone() };
	assert_eq!(dealer.receive(&misdirected), refused);
	assert_eq!(dealer.receive(&good), Ok(()));
	assert_eq!(dealer.receive(&good), Ok(()), "repeats are harmless");
}

#[test]
fn a_dealer_with_two_logs_contradicts_itself_and_the_first_stands() {
	let mut scene = Scene::new(200, 1);
	let mut logs = Vec::new();
	for _ in 0..2 {
		let (mut dealer, dealings) = scene.start(0);
		let acknowledgement = scene.player(0).receive(&scene.keys[0], &dealings[0]).unwrap();
		dealer.receive(&acknowledgement).unwrap();
		logs.push(dealer.finish());
	}
	let mut transcript = Transcript::new(&scene.ceremony);
	let dealer = scene.identity(0);
	assert_eq!(transcript.record(&logs[0]), Ok(dealer));
	let outcome = transcript.outcome(&mut scene.rng);
	assert_eq!(transcript.record(&logs[0]), Ok(dealer), "a repeat is harmless");
	assert_eq!(transcript.record(&logs[1]), Err(Error::DealerContradicted { dealer }));
	assert_eq!(transcript.outcome(&mut scene.rng), outcome);
}

#[test]
fn a_log_that_was_altered_cut_or_signed_by_an_outsider_is_refused() {
	let mut scene = Scene::new(210, 4);
	let (dealer, _) = scene.start(0);
	let log = dealer.finish();
	let mut transcript = Transcript::new(&scene.ceremony);
	let malformed = Err(Error::Malformed { what: "dealer log" });
	for byte in (0..log.0.len()).step_by(5) {
		let mut altered = log.clone();
		altered.0[byte] ^= 1;
		assert_eq!(transcript.record(&altered), malformed, "byte {byte}");
	}
	assert_eq!(transcript.record(&DealerLog(log.0[..log.0.len() - 1].to_vec())), malformed);
	assert_eq!(transcript.record(&DealerLog(vec![0; dealer_log_bytes_max()])), malformed);
	let bytes = dealer_log_bytes_max() + 1;
	assert!(matches!(
		transcript.record(&DealerLog(vec![0; bytes])),
		Err(Error::TooLong { what: "dealer log", .. })
	));
	let outsiders = Scene::new(211, 4);
	assert_eq!(
		Dealer::start(&mut scene.rng, &scene.ceremony, &outsiders.keys[0], None).err(),
		Some(Error::NotInCeremony { identity: outsiders.identity(0), role: "dealer" })
	);
	assert_eq!(
		Player::new(&scene.ceremony, &outsiders.keys[0]).err(),
		Some(Error::NotInCeremony { identity: outsiders.identity(0), role: "player" })
	);
}

#[test]
fn a_player_that_lost_an_acknowledged_dealing_says_so() {
	let mut scene = Scene::new(220, 4);
	let run = scene.run(&Nobody);
	let amnesiac = scene.player(1);
	assert_eq!(amnesiac.finish(&mut scene.rng, &run.transcript).err(), Some(Error::MissingDealing));
	let retry = Ceremony::new_key(GENESIS, EPOCH, 1, &public(&scene.keys)).ok().unwrap();
	let player = Player::new(&retry, &scene.keys[1]).ok().unwrap();
	assert!(matches!(
		player.finish(&mut scene.rng, &run.transcript),
		Err(Error::WrongPrevious { .. })
	));
}

#[test]
fn resharing_to_others_keeps_the_key_and_makes_the_old_shares_useless() {
	let mut scene = Scene::new(230, 4);
	let run = scene.run(&Nobody);
	let (old, old_shares) = scene.conclude(run);
	// One of the four is lost; the other three deal to seven.
	let new_keys = boots(&mut scene.rng, 7);
	let dealers = &old.players()[..3];
	let ceremony = Ceremony::reshare(GENESIS, 1, &old, dealers, &public(&new_keys)).ok().unwrap();
	let mut players: Vec<_> =
		new_keys.iter().map(|keys| Player::new(&ceremony, keys).ok().unwrap()).collect();
	let mut transcript = Transcript::new(&ceremony);
	for (keys, share) in scene.keys.iter().zip(&old_shares).take(3) {
		let (mut dealer, dealings) =
			Dealer::start(&mut scene.rng, &ceremony, keys, Some(share)).ok().unwrap();
		for (player, dealing) in dealings.iter().enumerate() {
			let acknowledgement = players[player].receive(&new_keys[player], dealing).unwrap();
			dealer.receive(&acknowledgement).unwrap();
		}
		transcript.record(&dealer.finish()).unwrap();
	}
	let new = transcript.outcome(&mut scene.rng).unwrap_or_else(|error| panic!("{error}"));
	assert_eq!(new.master_public_key(), old.master_public_key());
	assert_eq!(new.sharing(), SharingId { epoch: EPOCH, attempt: 1 });
	let shares: Vec<_> = players
		.into_iter()
		.map(|player| player.finish(&mut scene.rng, &transcript).ok().unwrap().1)
		.collect();
	check_signing(&new, &shares);
	for share in &old_shares {
		assert_eq!(new.polynomial().check_share(share), Err(Error::ShareIsNotOfPolynomial));
	}
}

#[test]
fn a_resharing_dealer_that_deals_something_else_is_named() {
	let mut scene = Scene::new(240, 4);
	let run = scene.run(&Nobody);
	let (old, shares) = scene.conclude(run);
	let ceremony =
		Ceremony::reshare(GENESIS, 1, &old, &old.players(), &public(&scene.keys)).ok().unwrap();
	let keys = &scene.keys[0];
	let (_, dealings) =
		Dealer::start(&mut scene.rng, &ceremony, keys, Some(&shares[1])).ok().unwrap();
	let mut player = Player::new(&ceremony, &scene.keys[2]).ok().unwrap();
	assert_eq!(
		player.receive(&scene.keys[2], &dealings[2]),
		Err(Error::DealerLied {
			dealer: scene.identity(0),
			why: "it deals something else than its share of the key"
		})
	);
	assert!(matches!(
		Dealer::start(&mut scene.rng, &ceremony, keys, None),
		Err(Error::WrongPrevious { .. })
	));
}

#[test]
fn a_resharing_needs_t_dealers_with_shares_and_a_later_number() {
	let mut scene = Scene::new(250, 4);
	let run = scene.run(&Nobody);
	let (old, _) = scene.conclude(run);
	let players = public(&scene.keys);
	let reshare = |attempt, dealers: &[AccountBytes]| {
		Ceremony::reshare(GENESIS, attempt, &old, dealers, &players).map(drop)
	};
	assert_eq!(reshare(1, &old.players()[..3]), Ok(()));
	assert!(matches!(reshare(1, &old.players()[..2]), Err(Error::WrongPrevious { .. })));
	assert!(matches!(reshare(0, &old.players()), Err(Error::WrongPrevious { .. })));
	let mut stranger = old.players();
	stranger[0] = [1; 32];
	assert!(matches!(reshare(1, &stranger), Err(Error::WrongPrevious { .. })));
	let twice = vec![old.players()[0]; 3];
	assert_eq!(reshare(1, &twice), Err(Error::DuplicateMember));
}

#[test]
fn a_ceremony_takes_one_member_to_the_limit_and_no_more() {
	let member =
		|number: usize| BootPublicKeys { identity: [number as u8; 32], encryption: [9; 32] };
	let of = |count: usize| {
		let members: Vec<_> = (0..count).map(member).collect();
		Ceremony::new_key(GENESIS, EPOCH, 0, &members).map(drop)
	};
	assert_eq!(of(0), Err(Error::MemberCount { count: 0 }));
	assert_eq!(of(1), Ok(()));
	assert_eq!(of(CEREMONY_MEMBERS_MAX), Ok(()));
	assert_eq!(
		of(CEREMONY_MEMBERS_MAX + 1),
		Err(Error::MemberCount { count: CEREMONY_MEMBERS_MAX + 1 })
	);
	let twice = [member(1), member(1)];
	assert_eq!(Ceremony::new_key(GENESIS, EPOCH, 0, &twice).map(drop), Err(Error::DuplicateMember));
}

#[test]
fn a_player_with_an_unusable_encryption_key_costs_only_itself() {
	let mut scene = Scene::new(260, 4);
	let mut members = public(&scene.keys);
	members[3].encryption = [0; 32];
	let ceremony = Ceremony::new_key(GENESIS, EPOCH, 0, &members).ok().unwrap();
	let (_, dealings) =
		Dealer::start(&mut scene.rng, &ceremony, &scene.keys[0], None).ok().unwrap();
	assert_eq!(dealings.len(), 3);
}

#[test]
fn outcomes_and_polynomials_survive_their_encoding_and_lower_degrees_are_refused() {
	let mut scene = Scene::new(270, 7);
	let run = scene.run(&Nobody);
	let (outcome, _) = scene.conclude(run);
	assert_eq!(Outcome::decode_all(&mut &outcome.encode()[..]), Ok(outcome.clone()));
	let polynomial = outcome.polynomial();
	let encoded = polynomial.encode();
	assert_eq!(encoded.len(), 4 + 1 + 5 * PUBLIC_KEY_BYTES);
	assert_eq!(PublicPolynomial::decode_all(&mut &encoded[..]).as_ref(), Ok(polynomial));
	for players in [0, 4, 6, 8, 65, u32::MAX] {
		let mut lying = encoded.clone();
		lying[..4].copy_from_slice(&players.to_le_bytes());
		assert_eq!(
			PublicPolynomial::decode_all(&mut &lying[..]).is_ok(),
			players == 6,
			"{players}"
		);
	}
	let mut flat = encoded.clone();
	let last = encoded.len() - PUBLIC_KEY_BYTES;
	flat[last..].copy_from_slice(&infinity());
	assert!(PublicPolynomial::decode_all(&mut &flat[..]).is_err());
}
