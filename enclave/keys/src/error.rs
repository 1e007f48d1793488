//! The crate's one error: what was refused, why, and what would be accepted. No secret is ever in
//! one.

use crate::{
	hpke::SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305,
	limits::{CEREMONY_MEMBERS_MAX, INPUT_LIFETIME_BLOCKS_MAX},
	sharing::SharingId,
};
use alloc::vec::Vec;
use phala_protocol::{
	clusters::Generation, keys::Epoch, mailbox::ClusterId, refusals::Refusal, AccountBytes,
	BlockNumber, H256,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
	#[error("{what} refused: its bytes are not a valid encoding of one")]
	Malformed { what: &'static str },
	#[error("{what} refused: {bytes} bytes, at most {bytes_max} are accepted")]
	TooLong { what: &'static str, bytes: usize, bytes_max: usize },
	#[error("{what} refused: {count} of them, at most {count_max} are accepted")]
	TooMany { what: &'static str, count: usize, count_max: usize },

	#[error(
		"sealed envelope refused: unknown suite {suite}; suite \
		 {SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305} is accepted"
	)]
	UnknownSuite { suite: u8 },
	#[error("sealing refused: the recipient's public key is not a usable X25519 point")]
	UnusableRecipient,
	#[error(
		"{what} refused: it does not open. It was altered, or sealed to another key or for \
		 another purpose or place; what is sealed with exactly this key and context is accepted"
	)]
	DoesNotOpen { what: &'static str },
	#[error("{what} refused: the signature is not by {signer:02x?}, whom it names as its author")]
	BadSignature { what: &'static str, signer: AccountBytes },

	#[error(
		"input refused: sealed by another caller than its origin; only that caller may send it"
	)]
	OriginIsNotCaller,
	#[error("input refused: it expired at block {expiry_block}, the block is now {now}")]
	Expired { expiry_block: BlockNumber, now: BlockNumber },
	#[error(
		"input refused: it expires at block {expiry_block}, more than \
		 {INPUT_LIFETIME_BLOCKS_MAX} blocks after {now}; an earlier expiry is accepted"
	)]
	ExpiresTooLate { expiry_block: BlockNumber, now: BlockNumber },
	#[error("input refused: its caller does not accept the code {running:?}")]
	CodeNotAccepted { running: H256 },

	#[error("share refused: it belongs to another place or polynomial")]
	ShareIsNotOfPolynomial,
	#[error("partial signature refused: there is no gatekeeper {index} among {players}")]
	UnknownGatekeeper { index: u32, players: u32 },
	#[error("gatekeeper {index} lied: what it signed and sent is not its partial signature")]
	GatekeeperLied { index: u32 },
	#[error("release of gatekeeper {index} refused: one was accepted from it before")]
	DuplicateRelease { index: u32 },
	#[error("{what} refused: it is of {have:?}, {wanted:?} is accepted")]
	WrongSharing { what: &'static str, have: SharingId, wanted: SharingId },
	#[error(
		"wrapped key refused: it is of cluster {cluster}, epoch {epoch}, generation \
		 {generation}; the secret at hand is of another"
	)]
	WrongClusterSecret { cluster: ClusterId, epoch: Epoch, generation: Generation },
	#[error("cluster key refused: {wanted} is accepted")]
	WrongKeyKind { wanted: &'static str },
	#[error("cluster secret not ready: {have} good partial signatures of the {needed} needed")]
	NotEnoughPartials { have: u32, needed: u32 },
	#[error("signature refused: it is not by the master key of this epoch")]
	NotByMasterKey,

	#[error("ceremony refused: {count} members, 1 to {CEREMONY_MEMBERS_MAX} are accepted")]
	MemberCount { count: usize },
	#[error("ceremony refused: the same identity is named twice")]
	DuplicateMember,
	#[error("ceremony refused: the previous outcome does not fit it: {why}")]
	WrongPrevious { why: &'static str },
	#[error("{identity:02x?} has no part as {role} in this ceremony")]
	NotInCeremony { identity: AccountBytes, role: &'static str },
	#[error("dealer {dealer:02x?} lied: {why}")]
	DealerLied { dealer: AccountBytes, why: &'static str },
	#[error("player {player:02x?}: its acknowledgement does not verify for this dealing")]
	BadAcknowledgement { player: AccountBytes },
	#[error(
		"dealer {dealer:02x?} contradicts itself: two different dealings or logs, both signed"
	)]
	DealerContradicted { dealer: AccountBytes },
	#[error(
		"ceremony failed: {found} usable dealer logs of the {required} required; faulty \
		 {faulty:02x?}, silent {silent:02x?}"
	)]
	NotEnoughDealers {
		required: u32,
		found: u32,
		faulty: Vec<AccountBytes>,
		silent: Vec<AccountBytes>,
	},
	#[error(
		"no share: the transcript holds this player's acknowledgement of a dealing that it lacks"
	)]
	MissingDealing,

	#[error("wallet path refused: no key exists at it; any other path is accepted")]
	NoKeyAtPath,
}

impl Error {
	/// As callers and relayers are told it.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::Malformed { .. } => Refusal::Malformed,
			Self::TooLong { .. } => Refusal::TooLong,
			Self::TooMany { .. } => Refusal::TooMany,
			Self::UnknownSuite { .. } => Refusal::UnknownSuite,
			Self::UnusableRecipient => Refusal::UnusableRecipient,
			Self::DoesNotOpen { .. } => Refusal::DoesNotOpen,
			Self::BadSignature { .. } => Refusal::BadSignature,
			Self::OriginIsNotCaller => Refusal::OriginIsNotCaller,
			Self::Expired { .. } => Refusal::Expired,
			Self::ExpiresTooLate { .. } => Refusal::ExpiresTooLate,
			Self::CodeNotAccepted { .. } => Refusal::CodeNotAccepted,
			Self::ShareIsNotOfPolynomial => Refusal::ShareIsNotOfPolynomial,
			Self::UnknownGatekeeper { .. } => Refusal::UnknownGatekeeper,
			Self::GatekeeperLied { .. } => Refusal::GatekeeperLied,
			Self::DuplicateRelease { .. } => Refusal::DuplicateRelease,
			Self::WrongSharing { .. } => Refusal::WrongSharing,
			Self::WrongClusterSecret { .. } => Refusal::WrongClusterSecret,
			Self::WrongKeyKind { .. } => Refusal::WrongKeyKind,
			Self::NotEnoughPartials { .. } => Refusal::NotEnoughPartials,
			Self::NotByMasterKey => Refusal::NotByMasterKey,
			Self::MemberCount { .. } => Refusal::MemberCount,
			Self::DuplicateMember => Refusal::DuplicateMember,
			Self::WrongPrevious { .. } => Refusal::WrongPrevious,
			Self::NotInCeremony { .. } => Refusal::NotInCeremony,
			Self::DealerLied { .. } => Refusal::DealerLied,
			Self::BadAcknowledgement { .. } => Refusal::BadAcknowledgement,
			Self::DealerContradicted { .. } => Refusal::DealerContradicted,
			Self::NotEnoughDealers { .. } => Refusal::NotEnoughDealers,
			Self::MissingDealing => Refusal::MissingDealing,
			Self::NoKeyAtPath => Refusal::NoKeyAtPath,
		}
	}
}
