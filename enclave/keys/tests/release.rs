//! Release of cluster secrets, with gatekeepers and relays that misbehave.

mod common;

use codec::Encode;
use common::{boots, gatekeepers, honest_ceremony, Dice, Gatekeeper, GENESIS};
use phala_keys::{
	boot::BootKeys,
	dkg::{Ceremony, Outcome},
	master::{quorum, ClusterKeyMessage, SharingId},
	release::{release_partial, PartialRelease, PendingRequest, ReleaseCollector},
	Error,
};
use phala_protocol::keys::KeyRequest;
use std::sync::Arc;

const EPOCH: u32 = 4;

fn collector(outcome: &Outcome, pending: &Arc<PendingRequest>) -> ReleaseCollector {
	ReleaseCollector::new(
		GENESIS,
		outcome.sharing(),
		outcome.polynomial().clone(),
		outcome.players(),
		pending.clone(),
	)
	.unwrap_or_else(|error| panic!("{error}"))
}

fn pending(dice: &mut Dice) -> Arc<PendingRequest> {
	Arc::new(PendingRequest::new(&mut **dice, 3, 9, 7, 2))
}

fn release(dice: &mut Dice, gatekeeper: &Gatekeeper, request: &KeyRequest) -> PartialRelease {
	release_partial(&mut **dice, GENESIS, &gatekeeper.keys, &gatekeeper.share, request)
		.unwrap_or_else(|error| panic!("{error}"))
}

fn error<T>(result: Result<T, Error>) -> Error {
	result.err().expect("is refused")
}

/// Holds a share of some other key and answers with that.
struct LyingGatekeeper;

impl LyingGatekeeper {
	/// The shares of a second ceremony of the same boots, under the same name.
	fn shares(dice: &mut Dice, honest: Vec<Gatekeeper>) -> (Vec<Gatekeeper>, Vec<Gatekeeper>) {
		let keys: Vec<_> = honest.iter().map(|gatekeeper| &gatekeeper.keys).collect();
		let public: Vec<_> = keys.iter().map(|keys| keys.public()).collect();
		let ceremony = Ceremony::new_key(GENESIS, EPOCH, 0, &public).ok().unwrap();
		let dealers: Vec<_> = keys.iter().map(|keys| (*keys, None)).collect();
		let (_, shares) = honest_ceremony(dice, &ceremony, &dealers, &keys);
		let strangers = boots(dice, shares.len());
		let liars = shares
			.into_iter()
			.zip(strangers)
			.map(|(share, keys)| Gatekeeper { keys, share })
			.collect();
		(honest, liars)
	}

	fn release(
		dice: &mut Dice,
		keys: &BootKeys,
		lie: &Gatekeeper,
		request: &KeyRequest,
	) -> PartialRelease {
		release_partial(&mut **dice, GENESIS, keys, &lie.share, request).ok().unwrap()
	}
}

#[test]
fn one_four_or_seven_gatekeepers_release_a_secret_and_any_quorum_releases_the_same() {
	for members in [1, 4, 7] {
		let mut dice = Dice::seeded(50 + members as u64);
		let (outcome, gatekeepers) = gatekeepers(&mut dice, members, EPOCH);
		let needed = quorum(members as u32) as usize;
		let mut secrets = Vec::new();
		for skip in [0, members - needed] {
			let pending = pending(&mut dice);
			let mut collector = collector(&outcome, &pending);
			for (count, gatekeeper) in gatekeepers.iter().skip(skip).take(needed).enumerate() {
				let release = release(&mut dice, gatekeeper, pending.request());
				assert_eq!(collector.add(&release), Ok(count + 1 == needed));
			}
			let secret = collector.finish().unwrap_or_else(|error| panic!("{error}"));
			assert_eq!((secret.epoch(), secret.cluster(), secret.generation()), (EPOCH, 7, 2));
			secrets.push(*secret.secret().expose());
		}
		assert_eq!(secrets[0], secrets[1]);
	}
}

#[test]
fn one_partial_fewer_than_the_quorum_gives_nothing() {
	let mut dice = Dice::seeded(60);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, EPOCH);
	let pending = pending(&mut dice);
	let mut collector = collector(&outcome, &pending);
	for gatekeeper in &gatekeepers[..2] {
		let release = release(&mut dice, gatekeeper, pending.request());
		assert_eq!(collector.add(&release), Ok(false));
	}
	assert_eq!(collector.accepted().collect::<Vec<_>>(), [0, 1]);
	assert_eq!(error(collector.finish()), Error::NotEnoughPartials { have: 2, needed: 3 });
}

#[test]
fn a_lying_gatekeeper_is_named_and_stops_nothing() {
	let mut dice = Dice::seeded(61);
	let (outcome, honest) = gatekeepers(&mut dice, 4, EPOCH);
	let (honest, lies) = LyingGatekeeper::shares(&mut dice, honest);
	let pending = pending(&mut dice);
	let mut collector = collector(&outcome, &pending);
	let lie = LyingGatekeeper::release(&mut dice, &honest[1].keys, &lies[1], pending.request());
	assert_eq!(collector.add(&lie), Err(Error::GatekeeperLied { index: 1 }));
	for index in [0, 2, 3] {
		let release = release(&mut dice, &honest[index], pending.request());
		assert_eq!(collector.add(&release), Ok(index == 3));
	}
	assert!(collector.finish().is_ok());
}

#[test]
fn a_gatekeeper_that_uses_anothers_index_is_refused_and_the_other_not_blamed() {
	let mut dice = Dice::seeded(62);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, EPOCH);
	let pending = pending(&mut dice);
	let mut collector = collector(&outcome, &pending);
	let mut stolen = release(&mut dice, &gatekeepers[1], pending.request());
	stolen.gatekeeper = 2;
	let signer = gatekeepers[2].keys.public().identity;
	let refused = Err(Error::BadSignature { what: "release", signer });
	assert_eq!(collector.add(&stolen), refused);
	let imposter = release_partial(
		&mut *dice,
		GENESIS,
		&gatekeepers[1].keys,
		&gatekeepers[2].share,
		pending.request(),
	);
	assert_eq!(collector.add(&imposter.unwrap()), refused);
	stolen.gatekeeper = 4;
	assert_eq!(collector.add(&stolen), Err(Error::UnknownGatekeeper { index: 4, players: 4 }));
}

#[test]
fn a_relay_that_alters_repeats_or_misdirects_an_answer_changes_nothing() {
	let mut dice = Dice::seeded(63);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, EPOCH);
	let pending = pending(&mut dice);
	let mut collector = collector(&outcome, &pending);
	let signer = gatekeepers[0].keys.public().identity;
	let forged = Err(Error::BadSignature { what: "release", signer });

	let good = release(&mut dice, &gatekeepers[0], pending.request());
	let mut altered = good.clone();
	altered.sealed.ciphertext[0] ^= 1;
	assert_eq!(collector.add(&altered), forged);

	let another_boot = KeyRequest { boot: 10, ..*pending.request() };
	let misdirected = release(&mut dice, &gatekeepers[0], &another_boot);
	assert_eq!(collector.add(&misdirected), forged);
	let elsewhere = release_partial(
		&mut *dice,
		[0; 32].into(),
		&gatekeepers[0].keys,
		&gatekeepers[0].share,
		pending.request(),
	);
	assert_eq!(collector.add(&elsewhere.unwrap()), forged, "another chain");

	assert_eq!(collector.add(&good), Ok(false), "what was refused did not take its place");
	assert_eq!(collector.add(&good), Err(Error::DuplicateRelease { index: 0 }));
	assert_eq!(collector.accepted().count(), 1);
}

#[test]
fn an_answer_to_one_request_is_of_no_use_to_another_worker() {
	let mut dice = Dice::seeded(64);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 1, EPOCH);
	let mine = pending(&mut dice);
	let eavesdropper = Arc::new(PendingRequest::new(&mut *dice, 4, 1, 7, 2));
	let answer = release(&mut dice, &gatekeepers[0], mine.request());
	let mut collector = collector(&outcome, &eavesdropper);
	assert!(collector.add(&answer).is_err());
}

#[test]
fn an_honest_gatekeeper_of_another_sharing_is_not_called_a_liar() {
	let mut dice = Dice::seeded(65);
	let (outcome, old) = gatekeepers(&mut dice, 4, EPOCH);
	let old_keys: Vec<_> = old.iter().map(|gatekeeper| &gatekeeper.keys).collect();
	let public: Vec<_> = old_keys.iter().map(|keys| keys.public()).collect();
	let ceremony =
		Ceremony::reshare(GENESIS, 1, &outcome, &outcome.players(), &public).ok().unwrap();
	let dealers: Vec<_> =
		old.iter().map(|gatekeeper| (&gatekeeper.keys, Some(&gatekeeper.share))).collect();
	let (reshared, shares) = honest_ceremony(&mut dice, &ceremony, &dealers, &old_keys);

	let pending = pending(&mut dice);
	let mut after = collector(&reshared, &pending);
	let late = release(&mut dice, &old[0], pending.request());
	let (have, wanted) =
		(SharingId { epoch: EPOCH, attempt: 0 }, SharingId { epoch: EPOCH, attempt: 1 });
	assert_eq!(after.add(&late), Err(Error::WrongSharing { what: "release", have, wanted }));

	let mut before = collector(&outcome, &pending);
	for gatekeeper in &old[..3] {
		before.add(&release(&mut dice, gatekeeper, pending.request())).unwrap();
	}
	for (keys, share) in old_keys.iter().zip(&shares).take(3) {
		let release = release_partial(&mut *dice, GENESIS, keys, share, pending.request()).unwrap();
		after.add(&release).unwrap();
	}
	let (before, after) = (before.finish().ok().unwrap(), after.finish().ok().unwrap());
	assert!(before.secret() == after.secret(), "resharing keeps every cluster's secret");
}

#[test]
fn partials_of_two_messages_do_not_combine() {
	let mut dice = Dice::seeded(66);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, EPOCH);
	let (this, that) = (ClusterKeyMessage::new(7, 2), ClusterKeyMessage::new(7, 3));
	let polynomial = outcome.polynomial();
	let verify = |index: usize, message: &ClusterKeyMessage| {
		let partial = gatekeepers[index].share.partial_sign(message);
		polynomial.verify_partial(message, partial).ok().unwrap()
	};
	let mixed = [verify(0, &this), verify(1, &this), verify(2, &that), verify(1, &this)];
	assert_eq!(
		error(polynomial.combine(&this, &mixed)),
		Error::NotEnoughPartials { have: 2, needed: 3 }
	);
	let enough = [verify(0, &this), verify(1, &this), verify(2, &this)];
	let signature = polynomial.combine(&this, &enough).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(signature.verify(&outcome.master_public_key()), Ok(()));
	let (other, _) = common::gatekeepers(&mut dice, 1, EPOCH);
	assert_eq!(signature.verify(&other.master_public_key()), Err(Error::NotByMasterKey));
	let partial = gatekeepers[0].share.partial_sign(&that);
	assert_eq!(
		error(polynomial.verify_partial(&this, partial)),
		Error::GatekeeperLied { index: 0 }
	);
}

#[test]
fn a_collector_wants_one_identity_for_each_player() {
	let mut dice = Dice::seeded(67);
	let (outcome, _) = gatekeepers(&mut dice, 4, EPOCH);
	let refused = ReleaseCollector::new(
		GENESIS,
		outcome.sharing(),
		outcome.polynomial().clone(),
		outcome.players()[..3].to_vec(),
		pending(&mut dice),
	);
	assert_eq!(error(refused), Error::MemberCount { count: 3 });
	assert_eq!(pending(&mut dice).request().encode().len(), 4 * 4 + 32);
}
