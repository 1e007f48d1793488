//! Ordered, hash-chained messages from the chain to enclaves, and signed envelopes back.
//!
//! **Outbound.** A [`Channel`] has a [`ChannelHead`] in chain storage. Pushing a body as number
//! `seq` in block `block`, as the `index`-th message of that block over all channels, moves the
//! head's hash to `blake2_256(SCALE(ChannelLink))`. Whoever knows an old head and a new one can
//! check every body in between, whoever carried it.
//!
//! **Inbound.** An [`Envelope`] is signed by a boot's identity key over [`EnvelopeContent`]. It
//! travels in the [`Lane`] of its payload; `seq` counts from 0 in each lane of each boot.

use crate::{boot::BootNumber, boot::WorkerId, domains, hash_of, limits, BlockNumber, H256};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A cluster's number, from 0 in the order of creation.
pub type ClusterId = u32;

/// One ordered stream of messages.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Channel {
	/// Read by every enclave.
	#[codec(index = 0)]
	System,
	/// Read by gatekeepers.
	#[codec(index = 1)]
	Gatekeepers,
	/// Read by the members of a cluster.
	#[codec(index = 2)]
	Cluster(ClusterId),
	/// Read by the current boot of a worker.
	#[codec(index = 3)]
	Worker(WorkerId),
}

/// Where a channel stands: the number its next message gets, and the hash over all before it.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct ChannelHead {
	/// Number of messages pushed so far.
	pub next_seq: u64,
	/// Zero before the first message.
	pub hash: H256,
}

impl ChannelHead {
	/// The head after `body` was pushed as message `index` of block `block`.
	///
	/// `None` when the channel's numbers are used up (2⁶⁴ messages).
	pub fn after(&self, block: BlockNumber, index: u32, body: &[u8]) -> Option<ChannelHead> {
		let link = ChannelLink { previous: self.hash, seq: self.next_seq, block, index, body };
		Some(ChannelHead { next_seq: self.next_seq.checked_add(1)?, hash: hash_of(&link) })
	}
}

/// What one step of a channel's hash chain hashes.
#[derive(Encode)]
struct ChannelLink<'a> {
	previous: H256,
	seq: u64,
	block: BlockNumber,
	index: u32,
	body: &'a [u8],
}

/// A message as an untrusted relayer carries it: worth nothing until a proven head covers it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct OutboundMessage {
	/// Its number in its channel.
	pub seq: u64,
	/// The block that pushed it.
	pub block: BlockNumber,
	/// Its place among all messages of that block.
	pub index: u32,
	/// SCALE of [`crate::messages::Message`].
	pub body: Vec<u8>,
}

/// A message as the chain's storage keeps it: its body, with what its hash link needs. The chain
/// bounds the bytes by their type.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct StoredMessage<Body = Vec<u8>> {
	/// The block that pushed it.
	pub block: BlockNumber,
	/// Its place among all messages of that block.
	pub index: u32,
	/// SCALE of [`crate::messages::Message`].
	pub body: Body,
}

/// One of the streams of envelopes of a boot, most urgent first. Each has its own numbers, and its
/// own share of what envelopes may take of a block, so that one that is full holds up no other.
/// Nothing that a payload means may rest on the order between lanes.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Lane {
	/// Signs of life, one's own and the want of others'.
	#[codec(index = 0)]
	Liveness,
	/// Master keys, cluster secrets, wrapped data keys.
	#[codec(index = 1)]
	Keys,
	/// Effect sets: what agents wrote and answered.
	#[codec(index = 2)]
	PaidCommits,
	/// Unused until agents pay for unpaid writes by fuel: then the commits without paid results.
	#[codec(index = 3)]
	FuelCommits,
	/// All else.
	#[codec(index = 4)]
	Rest,
}

impl Lane {
	/// All, most urgent first.
	pub const ALL: [Self; 5] =
		[Self::Liveness, Self::Keys, Self::PaidCommits, Self::FuelCommits, Self::Rest];

	/// Longest payload that the chain takes in this lane, in bytes of SCALE.
	pub const fn payload_bytes_max(self) -> u32 {
		match self {
			Self::Liveness | Self::Rest => limits::SHORT_PAYLOAD_BYTES_MAX,
			Self::Keys | Self::PaidCommits | Self::FuelCommits => {
				limits::ENVELOPE_PAYLOAD_BYTES_MAX
			}
		}
	}

	/// How far ahead of the lane's `next` an envelope may wait in the transaction pool.
	pub const fn pending_max(self) -> u64 {
		match self {
			Self::Liveness => limits::SIGNS_OF_LIFE_PENDING_MAX,
			_ => limits::ENVELOPES_PENDING_MAX,
		}
	}
}

/// Which of a boot's envelopes: its lane, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeNumber {
	/// The stream.
	pub lane: Lane,
	/// From 0.
	pub seq: u64,
}

/// A value for each [`Lane`].
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct ByLane<T> {
	/// Of [`Lane::Liveness`].
	pub liveness: T,
	/// Of [`Lane::Keys`].
	pub keys: T,
	/// Of [`Lane::PaidCommits`].
	pub paid_commits: T,
	/// Of [`Lane::FuelCommits`].
	pub fuel_commits: T,
	/// Of [`Lane::Rest`].
	pub rest: T,
}

impl<T> ByLane<T> {
	/// That of one lane.
	pub const fn of(&self, lane: Lane) -> &T {
		match lane {
			Lane::Liveness => &self.liveness,
			Lane::Keys => &self.keys,
			Lane::PaidCommits => &self.paid_commits,
			Lane::FuelCommits => &self.fuel_commits,
			Lane::Rest => &self.rest,
		}
	}

	/// That of one lane, to be changed.
	pub const fn of_mut(&mut self, lane: Lane) -> &mut T {
		match lane {
			Lane::Liveness => &mut self.liveness,
			Lane::Keys => &mut self.keys,
			Lane::PaidCommits => &mut self.paid_commits,
			Lane::FuelCommits => &mut self.fuel_commits,
			Lane::Rest => &mut self.rest,
		}
	}
}

/// The next envelopes that the chain accepts from a worker.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct InboundNext {
	/// The boot whose envelopes count.
	pub boot: BootNumber,
	/// The number of the next envelope in each lane.
	pub seqs: ByLane<u64>,
}

impl InboundNext {
	/// A boot that has said nothing yet.
	pub fn first_of(boot: BootNumber) -> Self {
		Self { boot, seqs: ByLane::default() }
	}

	/// The number of the next envelope in a lane.
	pub fn seq(&self, lane: Lane) -> u64 {
		*self.seqs.of(lane)
	}
}

/// What a boot signs when it speaks to the chain.
#[derive(Encode)]
pub struct EnvelopeContent<'a> {
	domain: domains::Domain,
	/// Hash of the chain's block 0: an envelope for one chain is void on another.
	pub genesis: H256,
	/// Who speaks.
	pub worker: WorkerId,
	/// Which life of that worker speaks.
	pub boot: BootNumber,
	/// In which stream.
	pub lane: Lane,
	/// From 0 in each lane of a boot.
	pub seq: u64,
	/// SCALE of [`crate::messages::Payload`].
	pub payload: &'a [u8],
}

impl<'a> EnvelopeContent<'a> {
	/// The content that is signed, under its domain.
	pub fn new(
		genesis: H256,
		worker: WorkerId,
		boot: BootNumber,
		number: EnvelopeNumber,
		payload: &'a [u8],
	) -> Self {
		let EnvelopeNumber { lane, seq } = number;
		Self { domain: domains::ENVELOPE, genesis, worker, boot, lane, seq, payload }
	}
}

/// A signed message from an enclave to the chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Envelope {
	/// Hash of the chain's block 0.
	pub genesis: H256,
	/// Who speaks.
	pub worker: WorkerId,
	/// Which life of that worker speaks.
	pub boot: BootNumber,
	/// The stream of its payload: [`crate::messages::Payload::lane`].
	pub lane: Lane,
	/// From 0 in each lane of a boot.
	pub seq: u64,
	/// SCALE of [`crate::messages::Payload`].
	pub payload: Vec<u8>,
	/// sr25519 (context `substrate`) by the boot's identity key over [`EnvelopeContent`].
	pub signature: [u8; 64],
}

impl Envelope {
	/// Its lane, and its number there.
	pub fn number(&self) -> EnvelopeNumber {
		EnvelopeNumber { lane: self.lane, seq: self.seq }
	}

	/// The bytes that [`Envelope::signature`] signs.
	pub fn signed_bytes(&self) -> Vec<u8> {
		EnvelopeContent::new(self.genesis, self.worker, self.boot, self.number(), &self.payload)
			.encode()
	}
}

/// Why the chain does not take an envelope, as the code of an `InvalidTransaction::Custom`.
///
/// A number below the expected one is refused as `Stale` instead, one too far above as `Future`,
/// one too many for this block as `ExhaustsResources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EnvelopeError {
	/// It names another chain's genesis hash.
	ForeignChain = 1,
	/// Its worker has no boot.
	UnknownWorker = 2,
	/// Its boot is not the worker's current one.
	RetiredBoot = 3,
	/// The boot's evidence expired, or its measurement is no longer allowed.
	Suspended = 4,
	/// The signature is not the boot's.
	BadSignature = 5,
	/// The payload is longer than [`Lane::payload_bytes_max`].
	PayloadTooLong = 6,
}

impl EnvelopeError {
	/// The refusal behind a custom validity code.
	pub fn from_code(code: u8) -> Option<Self> {
		use EnvelopeError::*;
		[ForeignChain, UnknownWorker, RetiredBoot, Suspended, BadSignature, PayloadTooLong]
			.into_iter()
			.find(|refused| *refused as u8 == code)
	}
}

impl core::fmt::Display for EnvelopeError {
	fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
		f.write_str(match self {
			Self::ForeignChain => "the envelope is for another chain (its genesis hash differs)",
			Self::UnknownWorker => "the worker has no registered boot",
			Self::RetiredBoot => "the boot was replaced by a later one of its worker",
			Self::Suspended => {
				"the boot is suspended: renew its evidence with an allowed measurement"
			}
			Self::BadSignature => "the signature is not by the boot's identity key",
			Self::PayloadTooLong => "the payload is longer than the chain accepts in its lane",
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_channel_link_keeps_its_frozen_encoding() {
		let head = ChannelHead { next_seq: 7, hash: H256::repeat_byte(1) };
		let mut bytes = H256::repeat_byte(1).encode();
		bytes.extend(7u64.to_le_bytes());
		bytes.extend(9u32.to_le_bytes());
		bytes.extend(3u32.to_le_bytes());
		bytes.extend([3 << 2, b'a', b'b', b'c']);
		assert_eq!(head.after(9, 3, b"abc").unwrap().hash, crate::blake2_256(&bytes));
		assert_eq!(head.after(9, 3, b"abc").unwrap().next_seq, 8);
	}

	#[test]
	fn each_field_of_a_link_changes_the_head() {
		let head = ChannelHead::default();
		let one = head.after(1, 0, b"a");
		assert_ne!(one, head.after(2, 0, b"a"));
		assert_ne!(one, head.after(1, 1, b"a"));
		assert_ne!(one, head.after(1, 0, b"b"));
		assert_ne!(one, ChannelHead { next_seq: 1, ..head }.after(1, 0, b"a"));
	}

	#[test]
	fn a_full_channel_takes_no_further_message() {
		assert_eq!(ChannelHead { next_seq: u64::MAX, hash: H256::zero() }.after(1, 0, b""), None);
	}

	#[test]
	fn each_lane_has_a_value_of_its_own() {
		let mut by_lane = ByLane::default();
		for (value, lane) in (1u64..).zip(Lane::ALL) {
			*by_lane.of_mut(lane) = value;
		}
		assert_eq!(Lane::ALL.map(|lane| *by_lane.of(lane)), [1, 2, 3, 4, 5]);
	}

	#[test]
	fn an_envelope_signs_its_domain_and_every_field() {
		let envelope = Envelope {
			genesis: H256::repeat_byte(2),
			worker: 3,
			boot: 4,
			lane: Lane::FuelCommits,
			seq: 5,
			payload: alloc::vec![6],
			signature: [0; 64],
		};
		let domain = "phala/mailbox/envelope/v2";
		let mut bytes = alloc::vec![(domain.len() as u8) << 2];
		bytes.extend(domain.as_bytes());
		bytes.extend([2u8; 32]);
		bytes.extend(3u32.to_le_bytes());
		bytes.extend(4u32.to_le_bytes());
		bytes.push(3);
		bytes.extend(5u64.to_le_bytes());
		bytes.extend([1 << 2, 6]);
		assert_eq!(envelope.signed_bytes(), bytes);
	}
}
