//! # Mailbox: how chain and enclaves talk
//!
//! ## Key terms
//!
//! * **Channel**: one ordered stream of messages from the chain ([`Channel`]).
//! * **Head**: the number that a channel's next message gets, and a hash over all before it.
//!   Enclaves read heads by storage proof and check bodies against them.
//! * **Envelope**: a signed message from an enclave to the chain.
//! * **Lane**: a stream of envelopes of a boot, numbered from 0 ([`mailbox::Lane`]).
//! * **Vital**: a message about registrations, keys, clusters or liveness.
//!
//! ## Usage
//!
//! * Other pallets **push** through [`phala_protocol::traits::MailboxInterface`]. The body is kept in
//!   [`Bodies`] for [`Config::Retention`] blocks and is part of [`Event::MessagePushed`], so that
//!   an archive can serve it for ever.
//! * A relayer **submits** envelopes with [`Call::submit_envelope`], free of charge, as a general
//!   transaction that [`Pallet::authorize_envelope`] lets in.
//!
//! ## Design
//!
//! The cost for an enclave is proportional to its messages, not to the chain's blocks: it follows
//! heads only. Within a block, `index` orders messages over all channels, so that an enclave can
//! apply them in the order in which they were made.
//!
//! An envelope with a good signature and the expected number consumes that number whatever its
//! payload does: a payload that fails is [`Event::PayloadFailed`], and the next one goes through.
//! Since no fee guards the entrance, the cheap checks come first, and the pool holds only
//! [`limits::ENVELOPES_PENDING_MAX`] ahead of a lane's expected number. Envelopes take
//! [`Config::EnvelopeWeight`] and [`Config::EnvelopeBytes`] of a block, shared out over lanes and
//! boots ([`SHARES`]): a lane that
//! is full holds up no other, and the urgent come first. What an envelope was let in with and did not use is
//! given back: to the block, its lane and its boot. One whose message finds no room in the block waits for the
//! next, too.
//!
//! What a block pushes is bounded in messages and bytes, with room kept for the vital: whatever
//! strangers make agents and requests push, workers register and keys are released.
//!
//! Bodies that were kept for long enough are forgotten in [`Pallet::prune`], which the runtime calls with
//! what it has for the upkeep of all pallets: what does not fit one block goes on in the next.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use lanes::{FullBlocks, PayloadWeights, SHARES, SHARE_OF_ONE_BOOT};
pub use pallet::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod invariants;
mod lanes;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	dispatch::DispatchClass, pallet_prelude::*, storage::with_storage_layer, weights::WeightMeter,
};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	limits,
	mailbox::{
		self, ByLane, Channel, ChannelHead, Envelope, EnvelopeError, EnvelopeNumber, InboundNext,
		Lane,
	},
	messages::{EnvelopeOrigin, Message, Payload},
	traits::{BootDirectory, EnvelopeLanes, MailboxInterface, PushError, ReceivePayload},
	BlockNumber, H256,
};
use sp_runtime::traits::{CheckedSub, One, SaturatedConversion, Saturating, Zero};

/// A message's body as storage keeps it.
pub type StoredMessage =
	mailbox::StoredMessage<BoundedVec<u8, ConstU32<{ limits::MESSAGE_BYTES_MAX }>>>;

/// Most messages and bytes that a block may push before one more that is vital, or is not.
const fn capacity(is_vital: bool) -> (u32, u32) {
	let (messages, bytes) = (limits::MESSAGES_PER_BLOCK_MAX, limits::PUSHED_BYTES_PER_BLOCK_MAX);
	if is_vital {
		return (messages, bytes);
	}
	(messages - limits::VITAL_MESSAGES_PER_BLOCK, bytes - limits::VITAL_BYTES_PER_BLOCK)
}

/// Room between the priorities of two lanes.
const PRIORITIES_OF_A_LANE: u64 = 1_000;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_system::pallet_prelude::*;

	/// Moves with the layout of what is stored, by a migration of the runtime.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<
		Hash = H256,
		RuntimeEvent: From<Event<Self>>,
		RuntimeCall: From<Call<Self>>,
	>
	{
		/// Knows who speaks for a worker.
		type Boots: BootDirectory;

		/// Acts on payloads.
		type Receiver: ReceivePayload<Payload = Payload, Error = DispatchError>;

		/// What payloads cost.
		type PayloadWeights: PayloadWeights;

		/// What envelopes may take of a block, over all lanes.
		#[pallet::constant]
		type EnvelopeWeight: Get<Weight>;

		/// The same in bytes of envelopes as they are sent.
		#[pallet::constant]
		type EnvelopeBytes: Get<u32>;

		/// What a transaction's extensions take of one with an envelope, but for its authorization.
		#[pallet::constant]
		type ExtensionWeight: Get<Weight>;

		/// What they take of it beside, and give back once it was acted on.
		#[pallet::constant]
		type ExtensionWeightReturned: Get<Weight>;

		/// For how many blocks bodies stay in storage.
		#[pallet::constant]
		type Retention: Get<BlockNumberFor<Self>>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Gives benchmarks workers with boots.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: benchmarking::BenchmarkHelper;
	}

	/// Where each channel stands. Read by enclaves through storage proofs.
	#[pallet::storage]
	pub type Heads<T> = StorageMap<_, Blake2_128Concat, Channel, ChannelHead, ValueQuery>;

	/// Bodies still kept, by channel and number.
	#[pallet::storage]
	pub type Bodies<T> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		Channel,
		Blake2_128Concat,
		u64,
		StoredMessage,
		OptionQuery,
	>;

	/// What each block pushed, so that it can be pruned.
	#[pallet::storage]
	pub type PushedIn<T> = StorageMap<
		_,
		Twox64Concat,
		BlockNumberFor<T>,
		BoundedVec<(Channel, u64), ConstU32<{ limits::MESSAGES_PER_BLOCK_MAX }>>,
		ValueQuery,
	>;

	/// The first block whose bodies are not all forgotten; absent before any were old enough.
	#[pallet::storage]
	pub type KeptFrom<T> = StorageValue<_, BlockNumberFor<T>, OptionQuery>;

	/// Bytes of the bodies that the current block pushed.
	#[pallet::storage]
	pub type PushedBytes<T> = StorageValue<_, u32, ValueQuery>;

	/// The next envelopes that count from each worker. Read by enclaves through storage proofs.
	#[pallet::storage]
	pub type NextEnvelope<T> = StorageMap<_, Blake2_128Concat, WorkerId, InboundNext, OptionQuery>;

	/// What envelopes of each lane took of the current block, in picoseconds: [`lanes`].
	#[pallet::storage]
	pub type LaneUse<T> = StorageValue<_, ByLane<u64>, ValueQuery>;

	/// The same of each worker.
	#[pallet::storage]
	pub type UseByWorker<T> = StorageMap<_, Twox64Concat, WorkerId, ByLane<u64>, ValueQuery>;

	/// What commits of each worker that somebody has paid for took of the current block, in picoseconds.
	#[pallet::storage]
	pub type PaidByWorker<T> = StorageMap<_, Twox64Concat, WorkerId, u64, ValueQuery>;

	/// The newest blocks in which what others had paid for left a worker no room for one more of the
	/// heaviest commits.
	#[pallet::storage]
	pub type FullForWorker<T> = StorageMap<_, Twox64Concat, WorkerId, FullBlocks, OptionQuery>;

	/// The newest blocks in which nobody had room for one more.
	#[pallet::storage]
	pub type FullForAll<T> = StorageValue<_, FullBlocks, OptionQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// The chain spoke to the readers of a channel.
		MessagePushed { channel: Channel, seq: u64, index: u32, body: Vec<u8> },
		/// An envelope was consumed and its payload took effect.
		EnvelopeAccepted { worker: WorkerId, boot: BootNumber, lane: Lane, seq: u64 },
		/// An envelope was consumed; its payload changed nothing, for this reason.
		PayloadFailed {
			worker: WorkerId,
			boot: BootNumber,
			lane: Lane,
			seq: u64,
			error: DispatchError,
		},
	}

	#[pallet::error]
	pub enum Error<T> {
		/// The envelope's number is not the one expected next in its lane.
		OutOfOrder,
		/// The envelope's boot is not the worker's current one.
		RetiredBoot,
		/// The payload is not one that this runtime knows.
		UnknownPayload,
		/// The payload belongs into another lane.
		OtherLane,
		/// The worker used up its part of the lane for this block.
		QuotaUsedUp,
		/// The lane has no room left in this block.
		LaneFull,
		/// The block has no room left for the message that it would push.
		MessagesFull,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_now: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants()
		}

		/// What `on_finalize` takes.
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			T::WeightInfo::end_block()
		}

		fn on_finalize(_: BlockNumberFor<T>) {
			if Self::is_block_full() {
				Self::note_block_full();
			}
			Self::forget_use();
			LaneUse::<T>::kill();
			PushedBytes::<T>::kill();
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Consumes the envelope's number and acts on its payload. Free of charge.
		///
		/// Goes in as a *general* transaction with the `AuthorizeCall` extension, not as a bare one.
		///
		/// # Errors
		/// [`Error::OutOfOrder`], [`Error::RetiredBoot`] when the order changed since validation.
		#[pallet::call_index(0)]
		#[pallet::weight(
			T::WeightInfo::submit_envelope(envelope.payload.len() as u32)
				.saturating_add(lanes::payload_weight::<T>(envelope))
		)]
		#[pallet::authorize(Pallet::<T>::authorize_envelope)]
		#[pallet::weight_of_authorize(T::WeightInfo::authorize_envelope(envelope.payload.len() as u32))]
		pub fn submit_envelope(
			origin: OriginFor<T>,
			envelope: Envelope,
		) -> DispatchResultWithPostInfo {
			ensure_authorized(origin)?;
			let payload = lanes::payload_of::<T>(&envelope);
			let most = payload.as_ref().map_or(Weight::zero(), T::PayloadWeights::weight_of);
			let (length, bytes) = (envelope.payload.len() as u32, envelope.encoded_size() as u64);
			let cost = Self::cost(length, bytes, most);
			let Envelope { worker, boot, lane, seq, .. } = envelope;

			// Validation ran against a state that may be older than this one.
			let mut next = NextEnvelope::<T>::get(worker).ok_or(Error::<T>::RetiredBoot)?;
			ensure!(next.boot == boot, Error::<T>::RetiredBoot);
			ensure!(next.seq(lane) == seq, Error::<T>::OutOfOrder);
			Self::ensure_capacity(worker, lane, cost)?;
			Self::ensure_capacity_for_news(payload.as_ref().ok())?;

			Self::note_use(worker, lane, cost);
			*next.seqs.of_mut(lane) = seq.saturating_add(1);
			NextEnvelope::<T>::insert(worker, next);

			let (effect, used) = match payload {
				Ok(payload) => {
					let origin = EnvelopeOrigin { worker, boot };
					let effect =
						with_storage_layer(|| T::Receiver::receive(origin, payload.clone()));
					let used = T::PayloadWeights::actual_weight_of(&payload, &effect).min(most);
					if effect.is_ok() && T::PayloadWeights::is_paid_work(&payload) {
						Self::note_paid(worker, Self::cost(length, bytes, used));
					}
					(effect, used)
				}
				Err(error) => (Err(error.into()), Weight::zero()),
			};
			let unused = cost.saturating_sub(Self::cost(length, bytes, used));
			Self::give_back(worker, lane, unused);
			Self::note_full(worker);
			Self::note_if_messages_are_full();
			Self::deposit_event(match effect {
				Ok(()) => Event::EnvelopeAccepted { worker, boot, lane, seq },
				Err(error) => Event::PayloadFailed { worker, boot, lane, seq, error },
			});
			Ok(Some(T::WeightInfo::submit_envelope(length).saturating_add(used)).into())
		}
	}

	impl<T: Config> Pallet<T> {
		pub(crate) fn now() -> BlockNumber {
			frame_system::Pallet::<T>::block_number().saturated_into()
		}

		/// At most as many entries as envelopes in this block: each put one in. The weight of removing it is
		/// part of `submit_envelope`.
		pub(crate) fn forget_use() {
			let _ = UseByWorker::<T>::clear(u32::MAX, None);
			let _ = PaidByWorker::<T>::clear(u32::MAX, None);
		}

		/// Forgets bodies that were kept for long enough, the oldest first, as far as `meter` goes.
		pub fn prune(meter: &mut WeightMeter) {
			let now = frame_system::Pallet::<T>::block_number();
			let Some(last) = now.checked_sub(&T::Retention::get()) else { return };
			let of_block = T::WeightInfo::prune(0);
			let of_body = T::WeightInfo::prune(1).saturating_sub(of_block);
			let first = KeptFrom::<T>::get().unwrap_or(last);
			let mut block = first;
			while block <= last && meter.try_consume(of_block).is_ok() {
				let mut pushed = PushedIn::<T>::take(block);
				while !pushed.is_empty() && meter.try_consume(of_body).is_ok() {
					if let Some((channel, seq)) = pushed.pop() {
						Bodies::<T>::remove(channel, seq);
					}
				}
				if !pushed.is_empty() {
					PushedIn::<T>::insert(block, pushed);
					break;
				}
				block = block.saturating_add(One::one());
			}
			KeptFrom::<T>::put(block);
		}

		/// Whether hooks, operational calls and envelopes left no weight for one more of the heaviest
		/// commits. What was paid for had to wait behind it.
		fn is_block_full() -> bool {
			let weights = T::BlockWeights::get();
			let used = frame_system::BlockWeight::<T>::get();
			let of_class = |class| used.get(class).ref_time();
			let used_by_envelopes = LaneUse::<T>::get();
			// What comes back is needed to get in, too.
			let next = Self::cost_of_heaviest_commit()
				.saturating_add(T::ExtensionWeightReturned::get().ref_time());
			let envelopes = Lane::ALL
				.into_iter()
				.map(|lane| *used_by_envelopes.of(lane))
				.fold(next, u64::saturating_add);
			let first = envelopes
				.saturating_add(of_class(DispatchClass::Mandatory))
				.saturating_add(of_class(DispatchClass::Operational));
			// Signs of life, which no share bounds, can use up the class of all envelopes.
			let of_envelopes = weights.get(DispatchClass::Normal).max_total;
			first > weights.max_block.ref_time()
				|| of_envelopes.is_some_and(|max| envelopes > max.ref_time())
		}

		/// Writes down if the message of a commit finds no room any more in this block: asked where only
		/// hooks and envelopes have pushed. What others pay for comes after envelopes, and excuses nobody.
		pub fn note_if_messages_are_full() {
			if !Self::has_capacity_for(T::PayloadWeights::commit_news(), false) {
				Self::note_block_full();
			}
		}

		/// Whether one more message of this length can be pushed in this block.
		fn has_capacity_for(bytes: u32, is_vital: bool) -> bool {
			let now = frame_system::Pallet::<T>::block_number();
			let (messages_max, bytes_max) = capacity(is_vital);
			let messages = PushedIn::<T>::decode_len(now).unwrap_or(0) as u32;
			messages < messages_max && PushedBytes::<T>::get().saturating_add(bytes) <= bytes_max
		}

		/// What finds no room for its message waits for the next block, instead of being consumed in vain.
		fn ensure_capacity_for_news(payload: Option<&Payload>) -> Result<(), Error<T>> {
			let news = payload.and_then(T::PayloadWeights::news_of);
			let fits = news.is_none_or(|(bytes, is_vital)| Self::has_capacity_for(bytes, is_vital));
			ensure!(fits, Error::<T>::MessagesFull);
			Ok(())
		}

		/// Whether an envelope may enter the pool or a block; cheap checks before the signature.
		pub fn authorize_envelope(
			source: TransactionSource,
			envelope: &Envelope,
		) -> TransactionValidityWithRefund {
			let refuse = |refused: EnvelopeError| InvalidTransaction::Custom(refused as u8);

			let bytes_max = envelope.lane.payload_bytes_max();
			if envelope.payload.len() as u64 > u64::from(bytes_max) {
				return Err(refuse(EnvelopeError::PayloadTooLong).into());
			}
			if envelope.genesis
				!= frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero())
			{
				return Err(refuse(EnvelopeError::ForeignChain).into());
			}
			let next = NextEnvelope::<T>::get(envelope.worker)
				.ok_or(refuse(EnvelopeError::UnknownWorker))?;
			if envelope.boot != next.boot {
				return Err(refuse(EnvelopeError::RetiredBoot).into());
			}
			let next_seq = next.seq(envelope.lane);
			if envelope.seq < next_seq {
				return Err(InvalidTransaction::Stale.into());
			}
			let ahead = envelope.seq.saturating_sub(next_seq);
			let ahead_max =
				if source == TransactionSource::InBlock { 0 } else { envelope.lane.pending_max() };
			if ahead > ahead_max {
				return Err(InvalidTransaction::Future.into());
			}
			// Not a fault of the envelope: it may come again in the next block.
			Self::ensure_capacity(envelope.worker, envelope.lane, Self::cost_of(envelope))
				.and_then(|()| {
					Self::ensure_capacity_for_news(lanes::payload_of::<T>(envelope).ok().as_ref())
				})
				.map_err(|_| InvalidTransaction::ExhaustsResources)?;
			let boot = T::Boots::current_boot(envelope.worker)
				.ok_or(refuse(EnvelopeError::UnknownWorker))?;
			if !T::Boots::is_in_force(envelope.worker, &boot) {
				return Err(refuse(EnvelopeError::Suspended).into());
			}
			let signed = sp_io::crypto::sr25519_verify(
				&sp_core::sr25519::Signature::from_raw(envelope.signature),
				&envelope.signed_bytes(),
				&sp_core::sr25519::Public::from_raw(boot.keys.identity),
			);
			if !signed {
				return Err(refuse(EnvelopeError::BadSignature).into());
			}

			let EnvelopeNumber { lane, seq } = envelope.number();
			let tag = |seq: u64| (envelope.worker, envelope.boot, lane, seq);
			// The more urgent the lane, the earlier in the block; within one, who has said least.
			let urgency = Lane::ALL.len().saturating_sub(lane as usize) as TransactionPriority;
			let priority = (TransactionPriority::MAX / 2)
				.saturating_add(urgency.saturating_mul(PRIORITIES_OF_A_LANE))
				.saturating_sub(ahead.min(PRIORITIES_OF_A_LANE.saturating_sub(1)));
			let mut validity = ValidTransaction::with_tag_prefix("PhalaEnvelope")
				.priority(priority)
				.longevity(64)
				.and_provides(tag(seq))
				.propagate(true);
			if ahead > 0 {
				validity = validity.and_requires(tag(seq.saturating_sub(1)));
			}
			Ok((validity.build()?, Weight::zero()))
		}
	}

	impl<T: Config> MailboxInterface for Pallet<T> {
		fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
			let now = frame_system::Pallet::<T>::block_number();
			let body: BoundedVec<u8, _> =
				message.encode().try_into().map_err(|_| PushError::TooLong)?;
			let head = Heads::<T>::get(channel);
			let block = now.saturated_into::<BlockNumber>();
			let index = PushedIn::<T>::decode_len(now).unwrap_or(0) as u32;
			let after = head.after(block, index, &body).ok_or(PushError::ChannelExhausted)?;
			let bytes = PushedBytes::<T>::get().saturating_add(body.len() as u32);
			let (messages_max, bytes_max) = capacity(message.is_vital());
			ensure!(index < messages_max && bytes <= bytes_max, PushError::BlockFull);

			PushedBytes::<T>::put(bytes);
			PushedIn::<T>::try_append(now, (channel, head.next_seq))
				.map_err(|_| PushError::BlockFull)?;
			Heads::<T>::insert(channel, after);
			Self::deposit_event(Event::MessagePushed {
				channel,
				seq: head.next_seq,
				index,
				body: body.to_vec(),
			});
			Bodies::<T>::insert(channel, head.next_seq, StoredMessage { block, index, body });
			Ok(head.next_seq)
		}

		fn head(channel: Channel) -> ChannelHead {
			Heads::<T>::get(channel)
		}

		fn open_inbound(worker: WorkerId, boot: BootNumber) {
			NextEnvelope::<T>::insert(worker, InboundNext::first_of(boot));
		}

		fn close_inbound(worker: WorkerId) {
			NextEnvelope::<T>::remove(worker);
			FullForWorker::<T>::remove(worker);
		}
	}

	impl<T: Config> EnvelopeLanes for Pallet<T> {
		fn next_envelope(worker: WorkerId) -> Option<InboundNext> {
			NextEnvelope::<T>::get(worker)
		}

		fn was_full_throughout(worker: WorkerId, from: BlockNumber, to: BlockNumber) -> bool {
			let (all, own) = (FullForAll::<T>::get(), FullForWorker::<T>::get(worker));
			let was_full = |block| [all, own].iter().flatten().any(|full| full.has(block));
			(from..=to).all(was_full)
		}
	}
}
