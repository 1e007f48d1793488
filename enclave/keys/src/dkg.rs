//! The key ceremony that makes a master key nobody ever holds, and the one that shares an
//! existing key anew: Feldman–Desmedt over `commonware-cryptography`, as pure state machines.
//!
//! | step | who | call |
//! |---|---|---|
//! | deal | each dealer | [`Dealer::start`] gives one [`Dealing`] for each player |
//! | acknowledge | each player | [`Player::receive`] checks its share and gives an [`Acknowledgement`], or names the dealer that lied |
//! | publish | each dealer | [`Dealer::receive`] for each acknowledgement, then [`Dealer::finish`] gives the [`DealerLog`], which **reveals** the shares that nobody acknowledged |
//! | record | everybody, in the chain's order | [`Transcript::record`] |
//! | conclude | everybody | [`Transcript::outcome`]; players [`Player::finish`] |
//!
//! n players, f = ⌊(n−1)/3⌋, t = n − f, and n = 1 is no special case. A complaint is silence: who
//! did not get a good share does not acknowledge, and the dealer must reveal that share or be
//! left out. Dealers that would reveal more than f shares publish nothing. A share whose owner
//! has it pieced together from reveals is listed in [`Outcome::revealed`]; the caller then runs
//! the ceremony again without that player. The ceremony assumes that acknowledgements arrive in
//! time: an adversary who can delay honest ones can have up to 2f shares revealed.
//!
//! Who may sign what: a boot is a player by its sr25519 identity, and gets its shares sealed to
//! its X25519 key.

mod identity;
#[cfg(test)]
mod tests;

use crate::{
	boot::{verify_statement, BootKeys},
	error::Error,
	hpke::{self, EncryptionKey, Sealed},
	limits::CEREMONY_MEMBERS_MAX,
	master::{
		counted_points, quorum, trailing_points, MasterPublicKey, MasterShare, PublicPolynomial,
		SharingId, PUBLIC_KEY_BYTES,
	},
	secret::SecretBytes,
	sr25519::Signature,
};
use codec::{Decode, Encode, Input};
use commonware_codec::{Copying, Read as _, Write as _};
use commonware_cryptography::bls12381::{
	dkg::feldman_desmedt::{self as commonware, DealerPrivMsg, DealerPubMsg, Info, Reveal},
	primitives::{
		sharing::{Mode, ModeVersion},
		variant::MinPk,
	},
};
use commonware_parallel::Sequential;
use commonware_utils::{ordered::Set, N3f1, TryFromIterator};
use core::num::NonZeroU32;
use identity::{IdentityKey, IdentitySigner};
use phala_protocol::{
	boot::BootKeys as BootPublicKeys,
	domains::{Domain, DKG_DEALING, DKG_NAMESPACE, SEALED_SHARE},
	keys::Epoch,
	AccountBytes, H256,
};
use rand_core::CryptoRng;
use sp_crypto_hashing::blake2_256;
use std::collections::BTreeMap;

const MEMBERS_MAX: NonZeroU32 = match NonZeroU32::new(CEREMONY_MEMBERS_MAX as u32) {
	Some(max) => max,
	None => panic!("the limit is not zero"),
};

/// Longest [`DealerLog`], in bytes.
pub fn dealer_log_bytes_max() -> usize {
	commonware::SignedDealerLog::<MinPk, IdentityKey>::max_encode_size(MEMBERS_MAX)
}

/// Which ceremony, who deals, who plays. Everybody must build it from the same chain facts.
#[derive(Clone)]
pub struct Ceremony {
	genesis: H256,
	sharing: SharingId,
	dealers: Vec<AccountBytes>,
	players: Vec<BootPublicKeys>,
	info: Info<MinPk, IdentityKey>,
}

/// What isolates the ceremonies of one chain.
#[derive(Encode)]
struct Namespace {
	domain: Domain,
	genesis: H256,
}

impl Ceremony {
	/// A new key for `epoch`: `members` deal to each other. `attempt` counts the ceremonies of
	/// the epoch, failed ones too.
	pub fn new_key(
		genesis: H256,
		epoch: Epoch,
		attempt: u32,
		members: &[BootPublicKeys],
	) -> Result<Self, Error> {
		let dealers: Vec<_> = members.iter().map(|member| member.identity).collect();
		Self::build(genesis, SharingId { epoch, attempt }, None, &dealers, members)
	}

	/// The same key for other players: `dealers` are at least t players of `previous`.
	pub fn reshare(
		genesis: H256,
		attempt: u32,
		previous: &Outcome,
		dealers: &[AccountBytes],
		players: &[BootPublicKeys],
	) -> Result<Self, Error> {
		let SharingId { epoch, attempt: previous_attempt } = previous.sharing;
		if attempt <= previous_attempt {
			return Err(Error::WrongPrevious { why: "attempts only count upwards" });
		}
		let old_players = previous.players();
		if !dealers.iter().all(|dealer| old_players.contains(dealer)) {
			return Err(Error::WrongPrevious { why: "a dealer has no share of the key" });
		}
		if dealers.len() < quorum(old_players.len() as u32) as usize {
			return Err(Error::WrongPrevious { why: "fewer than t dealers have shares" });
		}
		let sharing = SharingId { epoch, attempt };
		Self::build(genesis, sharing, Some(previous.output.clone()), dealers, players)
	}

	fn build(
		genesis: H256,
		sharing: SharingId,
		previous: Option<commonware::Output<MinPk, IdentityKey>>,
		dealers: &[AccountBytes],
		players: &[BootPublicKeys],
	) -> Result<Self, Error> {
		for count in [dealers.len(), players.len()] {
			if !(1..=CEREMONY_MEMBERS_MAX).contains(&count) {
				return Err(Error::MemberCount { count });
			}
		}
		let mut players = players.to_vec();
		players.sort();
		let namespace = Namespace { domain: DKG_NAMESPACE, genesis };
		let info = Info::new::<N3f1>(
			&namespace.encode(),
			u64::from(sharing.epoch) << 32 | u64::from(sharing.attempt),
			previous,
			Mode::NonZeroCounter,
			Reveal::V1,
			identities(dealers.iter().copied())?,
			identities(players.iter().map(|player| player.identity))?,
		)
		.map_err(|_| Error::WrongPrevious { why: "its size or its dealers do not fit" })?;
		Ok(Self { genesis, sharing, dealers: dealers.to_vec(), players, info })
	}

	pub fn sharing(&self) -> SharingId {
		self.sharing
	}

	/// The players in the order of their shares' indices: by identity.
	pub fn players(&self) -> impl Iterator<Item = AccountBytes> + '_ {
		self.players.iter().map(|player| player.identity)
	}

	/// t of the new sharing.
	pub fn quorum(&self) -> u32 {
		quorum(self.players.len() as u32)
	}

	fn player(&self, identity: &AccountBytes) -> Option<&BootPublicKeys> {
		self.players.iter().find(|player| player.identity == *identity)
	}

	fn share_context(&self, dealer: AccountBytes, player: AccountBytes) -> ShareContext {
		let (genesis, sharing) = (self.genesis, self.sharing);
		ShareContext { domain: SEALED_SHARE, genesis, sharing, dealer, player }
	}
}

fn identities(members: impl Iterator<Item = AccountBytes>) -> Result<Set<IdentityKey>, Error> {
	Set::try_from_iter(members.map(IdentityKey)).map_err(|_| Error::DuplicateMember)
}

/// Where a share belongs: the HPKE info.
#[derive(Encode)]
struct ShareContext {
	domain: Domain,
	genesis: H256,
	sharing: SharingId,
	dealer: AccountBytes,
	player: AccountBytes,
}

/// What a dealer sends to one player.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dealing {
	pub dealer: AccountBytes,
	/// Who the share is for.
	pub player: AccountBytes,
	/// The dealer's public polynomial: t points, the same for each player.
	pub commitment: Vec<[u8; PUBLIC_KEY_BYTES]>,
	/// The player's share, sealed to its boot's X25519 key.
	pub sealed_share: Sealed,
	pub signature: Signature,
}

/// What a dealer signs.
#[derive(Encode)]
struct DealingStatement<'a> {
	domain: Domain,
	genesis: H256,
	sharing: SharingId,
	dealer: AccountBytes,
	player: AccountBytes,
	commitment: &'a [[u8; PUBLIC_KEY_BYTES]],
	sealed_share: &'a Sealed,
}

impl Dealing {
	fn statement(&self, ceremony: &Ceremony) -> DealingStatement<'_> {
		DealingStatement {
			domain: DKG_DEALING,
			genesis: ceremony.genesis,
			sharing: ceremony.sharing,
			dealer: self.dealer,
			player: self.player,
			commitment: &self.commitment,
			sealed_share: &self.sealed_share,
		}
	}
}

/// A player's word that it has a good share from a dealer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Acknowledgement {
	pub dealer: AccountBytes,
	/// Who has the share.
	pub player: AccountBytes,
	/// By the player, over the ceremony, the dealer and its commitment.
	pub signature: Signature,
}

/// What a dealer publishes: its commitment and, for each player, the acknowledgement or the
/// share itself. Signed by the dealer. The bytes are the library's encoding.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DealerLog(pub Vec<u8>);

pub struct Dealer {
	identity: AccountBytes,
	state: commonware::Dealer<MinPk, IdentitySigner>,
}

impl Dealer {
	/// Deals. In a resharing, `previous_share` is what is dealt on.
	pub fn start(
		rng: &mut impl CryptoRng,
		ceremony: &Ceremony,
		keys: &BootKeys,
		previous_share: Option<&MasterShare>,
	) -> Result<(Self, Vec<Dealing>), Error> {
		let identity = keys.public().identity;
		let (state, public, shares) = commonware::Dealer::start::<N3f1>(
			&mut *rng,
			ceremony.info.clone(),
			IdentitySigner::of(keys),
			previous_share.map(MasterShare::to_commonware),
		)
		.map_err(|error| match error {
			commonware::Error::MissingDealerShare => {
				Error::WrongPrevious { why: "dealing anew needs the dealer's old share" }
			}
			_ => Error::NotInCeremony { identity, role: "dealer" },
		})?;
		let encoded = commonware_codec::Encode::encode(&public);
		let commitment = trailing_points(&encoded, ceremony.quorum() as usize);
		let mut dealings = Vec::with_capacity(shares.len());
		for (IdentityKey(player), share) in shares {
			let role = "player";
			let recipient =
				ceremony.player(&player).ok_or(Error::NotInCeremony { identity: player, role })?;
			let mut plaintext = SecretBytes::with_capacity(32);
			share.write(plaintext.expose_mut());
			let context = ceremony.share_context(identity, player);
			// A player with an unusable key gets nothing, and its share is revealed.
			let Ok(sealed_share) = hpke::seal(
				rng,
				&EncryptionKey(recipient.encryption),
				&context,
				&[],
				plaintext.expose(),
			) else {
				continue;
			};
			let mut dealing = Dealing {
				dealer: identity,
				player,
				commitment: commitment.clone(),
				sealed_share,
				signature: [0; 64],
			};
			dealing.signature = keys.sign(rng, &dealing.statement(ceremony));
			dealings.push(dealing);
		}
		Ok((Self { identity, state }, dealings))
	}

	/// Takes a player's acknowledgement. Repeats are harmless.
	pub fn receive(&mut self, acknowledgement: &Acknowledgement) -> Result<(), Error> {
		let Acknowledgement { dealer, player, signature } = *acknowledgement;
		if dealer != self.identity {
			return Err(Error::BadAcknowledgement { player });
		}
		let mut encoded = Copying(signature.as_slice());
		let signature = commonware::PlayerAck::read_cfg(&mut encoded, &())
			.map_err(|_| Error::BadAcknowledgement { player })?;
		self.state
			.receive_player_ack(IdentityKey(player), signature)
			.map_err(|_| Error::BadAcknowledgement { player })
	}

	/// Ends the dealing: what was not acknowledged is revealed.
	pub fn finish(self) -> DealerLog {
		let log = self.state.finalize::<N3f1>();
		DealerLog(commonware_codec::Encode::encode(&log).to_vec())
	}
}

pub struct Player {
	ceremony: Ceremony,
	identity: AccountBytes,
	state: commonware::Player<MinPk, IdentitySigner>,
	acknowledged: BTreeMap<AccountBytes, (Vec<[u8; PUBLIC_KEY_BYTES]>, Acknowledgement)>,
}

impl Player {
	pub fn new(ceremony: &Ceremony, keys: &BootKeys) -> Result<Self, Error> {
		let identity = keys.public().identity;
		let state = commonware::Player::new(ceremony.info.clone(), IdentitySigner::of(keys))
			.map_err(|_| Error::NotInCeremony { identity, role: "player" })?;
		Ok(Self { ceremony: ceremony.clone(), identity, state, acknowledged: BTreeMap::new() })
	}

	/// Checks a dealing. The same one again gives the same acknowledgement again, since the
	/// first may have been lost.
	pub fn receive(
		&mut self,
		keys: &BootKeys,
		dealing: &Dealing,
	) -> Result<Acknowledgement, Error> {
		let (dealer, player) = (dealing.dealer, self.identity);
		if dealing.player != player {
			return Err(Error::NotInCeremony { identity: dealing.player, role: "this player" });
		}
		if !verify_statement(&dealer, &dealing.statement(&self.ceremony), &dealing.signature) {
			return Err(Error::BadSignature { what: "dealing", signer: dealer });
		}
		if let Some((commitment, acknowledgement)) = self.acknowledged.get(&dealer) {
			return if *commitment == dealing.commitment {
				Ok(acknowledgement.clone())
			} else {
				Err(Error::DealerContradicted { dealer })
			};
		}
		// From here on, what is wrong is the dealer's fault: it signed it.
		let lied = |why| Error::DealerLied { dealer, why };
		if dealing.commitment.len() != self.ceremony.quorum() as usize {
			return Err(lied("its polynomial has a wrong number of coefficients"));
		}
		let encoded = counted_points(&dealing.commitment);
		let public = DealerPubMsg::read_cfg(&mut Copying(&encoded), &MEMBERS_MAX)
			.map_err(|_| lied("its commitment holds bytes that are no point"))?;
		let context = self.ceremony.share_context(dealer, player);
		let share =
			hpke::open(keys.decryption_key(), &context, &[], &dealing.sealed_share, "share")
				.map_err(|_| lied("its share does not open"))?;
		let share = match share.expose().len() {
			32 => DealerPrivMsg::read_cfg(&mut Copying(share.expose()), &()).ok(),
			_ => None,
		};
		let share = share.ok_or_else(|| lied("its share is not a scalar"))?;
		let signature = self
			.state
			.dealer_message::<N3f1>(IdentityKey(dealer), public, share)
			.map_err(|error| match error {
				commonware::DealerMessageError::UnexpectedDealer => {
					Error::NotInCeremony { identity: dealer, role: "dealer" }
				}
				commonware::DealerMessageError::InvalidDealerShare => {
					lied("its share is not on its polynomial")
				}
				commonware::DealerMessageError::MismatchedReshareCommitment => {
					lied("it deals something else than its share of the key")
				}
				commonware::DealerMessageError::InvalidCommitmentDegree { .. } => {
					lied("its polynomial has a wrong degree")
				}
			})?
			.ok_or(Error::DealerContradicted { dealer })?;
		let mut bytes = [0; 64];
		signature.write(&mut bytes.as_mut_slice());
		let acknowledgement = Acknowledgement { dealer, player, signature: bytes };
		self.acknowledged.insert(dealer, (dealing.commitment.clone(), acknowledgement.clone()));
		Ok(acknowledgement)
	}

	/// This player's share of the key, when the transcript is complete.
	pub fn finish(
		self,
		rng: &mut impl CryptoRng,
		transcript: &Transcript,
	) -> Result<(Outcome, MasterShare), Error> {
		let sharing = self.ceremony.sharing;
		let (output, share) = self
			.state
			.finalize::<N3f1>(rng, transcript.logs.clone(), &Sequential)
			.map_err(|error| match error {
				commonware::FinalizeError::Failure(failure) => not_enough_dealers(failure),
				commonware::FinalizeError::Error(commonware::Error::MismatchedLogs) => {
					Error::WrongPrevious { why: "the transcript is of another ceremony" }
				}
				commonware::FinalizeError::Error(_) => Error::MissingDealing,
			})?;
		let share = MasterShare { sharing, index: share.index.get(), private: share.private };
		Ok((Outcome::new(sharing, output)?, share))
	}
}

/// The dealers' logs, as all have recorded them in the chain's order.
#[derive(Clone)]
pub struct Transcript {
	ceremony: Ceremony,
	logs: commonware::Logs<MinPk, IdentityKey, N3f1>,
	recorded: BTreeMap<AccountBytes, [u8; 32]>,
}

impl Transcript {
	pub fn new(ceremony: &Ceremony) -> Self {
		Self {
			ceremony: ceremony.clone(),
			logs: commonware::Logs::new(ceremony.info.clone()),
			recorded: BTreeMap::new(),
		}
	}

	/// Records a dealer's log and says whose it is. A second, different one changes nothing and
	/// names the dealer: that is a signed contradiction.
	pub fn record(&mut self, log: &DealerLog) -> Result<AccountBytes, Error> {
		let (bytes, bytes_max) = (log.0.len(), dealer_log_bytes_max());
		if bytes > bytes_max {
			return Err(Error::TooLong { what: "dealer log", bytes, bytes_max });
		}
		let malformed = || Error::Malformed { what: "dealer log" };
		let signed = <commonware::SignedDealerLog<MinPk, IdentityKey> as commonware_codec::Decode>::
			decode_cfg(log.0.clone(), &MEMBERS_MAX)
			.map_err(|_| malformed())?;
		let (dealer, checked) = signed.check(&self.ceremony.info).ok_or_else(malformed)?;
		let IdentityKey(identity) = dealer;
		if !self.ceremony.dealers.contains(&identity) {
			return Err(Error::NotInCeremony { identity, role: "dealer" });
		}
		let digest = blake2_256(&log.0);
		match self.recorded.get(&identity) {
			Some(recorded) if *recorded == digest => return Ok(identity),
			Some(_) => return Err(Error::DealerContradicted { dealer: identity }),
			None => self.recorded.insert(identity, digest),
		};
		self.logs.record(IdentityKey(identity), checked);
		Ok(identity)
	}

	/// What the ceremony made, for everybody to see. `rng` picks the weights of batched checks.
	pub fn outcome(&self, rng: &mut impl CryptoRng) -> Result<Outcome, Error> {
		let output =
			commonware::observe(rng, self.logs.clone(), &Sequential).map_err(not_enough_dealers)?;
		Outcome::new(self.ceremony.sharing, output)
	}
}

fn not_enough_dealers(failure: commonware::Failure<IdentityKey>) -> Error {
	let commonware::Failure::InsufficientLogs { required, found, faults, unavailable } = failure;
	let faulty = faults.keys().iter().map(|key| key.0).collect();
	let silent = unavailable.iter().map(|key| key.0).collect();
	Error::NotEnoughDealers { required, found, faulty, silent }
}

/// The public result of a ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
	sharing: SharingId,
	output: commonware::Output<MinPk, IdentityKey>,
	polynomial: PublicPolynomial,
}

impl Outcome {
	fn new(
		sharing: SharingId,
		output: commonware::Output<MinPk, IdentityKey>,
	) -> Result<Self, Error> {
		let polynomial = PublicPolynomial::from_sharing(output.public().clone())?;
		Ok(Self { sharing, output, polynomial })
	}

	pub fn sharing(&self) -> SharingId {
		self.sharing
	}

	/// The commitment to the key and to every share.
	pub fn polynomial(&self) -> &PublicPolynomial {
		&self.polynomial
	}

	/// The public half of the key.
	pub fn master_public_key(&self) -> MasterPublicKey {
		self.polynomial.master_public_key()
	}

	/// Who has shares, in the order of their indices.
	pub fn players(&self) -> Vec<AccountBytes> {
		self.output.players().iter().map(|key| key.0).collect()
	}

	/// Whose dealings the key is made of.
	pub fn dealers(&self) -> Vec<AccountBytes> {
		self.output.dealers().iter().map(|key| key.0).collect()
	}

	/// Players whose shares anybody may have pieced together. Not empty: run it again without
	/// them.
	pub fn revealed(&self) -> Vec<AccountBytes> {
		self.output.revealed().iter().map(|key| key.0).collect()
	}
}

/// Wire form of an outcome; `output` is the library's encoding.
#[derive(Encode, Decode)]
struct OutcomeBytes {
	sharing: SharingId,
	output: Vec<u8>,
}

impl Encode for Outcome {
	fn encode(&self) -> Vec<u8> {
		let output = commonware_codec::Encode::encode(&self.output).to_vec();
		OutcomeBytes { sharing: self.sharing, output }.encode()
	}
}

impl Decode for Outcome {
	fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
		let OutcomeBytes { sharing, output } = Decode::decode(input)?;
		let config = (MEMBERS_MAX, ModeVersion::v0());
		let output =
			<commonware::Output<MinPk, IdentityKey> as commonware_codec::Decode>::decode_cfg(
				output, &config,
			)
			.map_err(|_| codec::Error::from("outcome of a ceremony"))?;
		if output.players().len() != output.public().total().get() as usize {
			return Err("outcome of a ceremony with a wrong number of players".into());
		}
		Self::new(sharing, output).map_err(|_| "outcome of a ceremony".into())
	}
}
