//! # Mailbox: how chain and enclaves talk
//!
//! ## Key terms
//!
//! * **Channel**: one ordered stream of messages from the chain ([`Channel`]).
//! * **Head**: the number that a channel's next message gets, and a hash over all before it.
//!   Enclaves read heads by storage proof and check bodies against them.
//! * **Envelope**: a signed message from an enclave to the chain, numbered from 0 for each boot.
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
//! Since no fee guards the entrance, the cheap checks come first, a worker may land only
//! [`limits::ENVELOPES_PER_WORKER_PER_BLOCK_MAX`] envelopes a block, and the pool holds only
//! [`limits::ENVELOPES_PENDING_MAX`] ahead of the expected number.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

use alloc::vec::Vec;
use codec::{DecodeAll, Encode};
use frame_support::{pallet_prelude::*, storage::with_storage_layer};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	limits,
	mailbox::{self, Channel, ChannelHead, Envelope, EnvelopeError, InboundNext},
	messages::{EnvelopeOrigin, Message, Payload},
	traits::{BootDirectory, MailboxInterface, PushError, ReceivePayload},
	BlockNumber, H256,
};
use sp_runtime::traits::{CheckedSub, SaturatedConversion, Zero};

/// A message's body as storage keeps it.
pub type StoredMessage =
	mailbox::StoredMessage<BoundedVec<u8, ConstU32<{ limits::MESSAGE_BYTES_MAX }>>>;

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

		/// For how many blocks bodies stay in storage.
		#[pallet::constant]
		type Retention: Get<BlockNumberFor<Self>>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;
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

	/// The next envelope that counts from each worker. Read by enclaves through storage proofs.
	#[pallet::storage]
	pub type NextEnvelope<T> = StorageMap<_, Blake2_128Concat, WorkerId, InboundNext, OptionQuery>;

	/// Envelopes that each worker landed in the current block.
	#[pallet::storage]
	pub type LandedInBlock<T> = StorageMap<_, Twox64Concat, WorkerId, u32, ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// The chain spoke to the readers of a channel.
		MessagePushed { channel: Channel, seq: u64, index: u32, body: Vec<u8> },
		/// An envelope was consumed and its payload took effect.
		EnvelopeAccepted { worker: WorkerId, boot: BootNumber, seq: u64 },
		/// An envelope was consumed; its payload changed nothing, for this reason.
		PayloadFailed { worker: WorkerId, boot: BootNumber, seq: u64, error: DispatchError },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// The envelope's number is not the one expected next from its worker.
		OutOfOrder,
		/// The envelope's boot is not the worker's current one.
		RetiredBoot,
		/// The payload is not one that this runtime knows.
		UnknownPayload,
		/// The worker used up its envelopes for this block.
		QuotaUsedUp,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			let Some(expired) = now.checked_sub(&T::Retention::get()) else {
				return T::DbWeight::get().reads(1);
			};
			let pruned = PushedIn::<T>::take(expired);
			for (channel, seq) in &pruned {
				Bodies::<T>::remove(channel, seq);
			}
			T::DbWeight::get().reads_writes(1, 1 + pruned.len() as u64)
		}

		fn on_finalize(_: BlockNumberFor<T>) {
			// At most as many entries as envelopes in this block: each put one in. The weight of
			// removing it is part of `submit_envelope`.
			let _ = LandedInBlock::<T>::clear(u32::MAX, None);
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
		#[pallet::weight(T::WeightInfo::submit_envelope(envelope.payload.len() as u32))]
		#[pallet::authorize(Pallet::<T>::authorize_envelope)]
		#[pallet::weight_of_authorize(T::WeightInfo::authorize_envelope(envelope.payload.len() as u32))]
		pub fn submit_envelope(origin: OriginFor<T>, envelope: Envelope) -> DispatchResult {
			ensure_authorized(origin)?;
			let Envelope { worker, boot, seq, payload, .. } = envelope;

			// Validation ran against a state that may be older than this one.
			let next = NextEnvelope::<T>::get(worker).ok_or(Error::<T>::RetiredBoot)?;
			ensure!(next.boot == boot, Error::<T>::RetiredBoot);
			ensure!(next.seq == seq, Error::<T>::OutOfOrder);
			let landed = LandedInBlock::<T>::get(worker);
			ensure!(landed < limits::ENVELOPES_PER_WORKER_PER_BLOCK_MAX, Error::<T>::QuotaUsedUp);

			LandedInBlock::<T>::insert(worker, landed.saturating_add(1));
			NextEnvelope::<T>::insert(worker, InboundNext { boot, seq: seq.saturating_add(1) });

			let effect = with_storage_layer(|| {
				let payload = Payload::decode_all(&mut &payload[..])
					.map_err(|_| Error::<T>::UnknownPayload)?;
				T::Receiver::receive(EnvelopeOrigin { worker, boot }, payload)
			});
			Self::deposit_event(match effect {
				Ok(()) => Event::EnvelopeAccepted { worker, boot, seq },
				Err(error) => Event::PayloadFailed { worker, boot, seq, error },
			});
			Ok(())
		}
	}

	impl<T: Config> Pallet<T> {
		/// Whether an envelope may enter the pool or a block; cheap checks before the signature.
		pub fn authorize_envelope(
			source: TransactionSource,
			envelope: &Envelope,
		) -> TransactionValidityWithRefund {
			let refuse = |refused: EnvelopeError| InvalidTransaction::Custom(refused as u8);

			if envelope.payload.len() as u64 > u64::from(limits::ENVELOPE_PAYLOAD_BYTES_MAX) {
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
			if envelope.seq < next.seq {
				return Err(InvalidTransaction::Stale.into());
			}
			let ahead = envelope.seq.saturating_sub(next.seq);
			let ahead_max = if source == TransactionSource::InBlock {
				0
			} else {
				limits::ENVELOPES_PENDING_MAX
			};
			if ahead > ahead_max {
				return Err(InvalidTransaction::Future.into());
			}
			if LandedInBlock::<T>::get(envelope.worker)
				>= limits::ENVELOPES_PER_WORKER_PER_BLOCK_MAX
			{
				// Not a fault of the envelope: it may come again in the next block.
				return Err(InvalidTransaction::ExhaustsResources.into());
			}
			let boot = T::Boots::current_boot(envelope.worker)
				.ok_or(refuse(EnvelopeError::UnknownWorker))?;
			if !T::Boots::is_in_force(&boot) {
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

			let tag = |seq: u64| (envelope.worker, envelope.boot, seq);
			let mut validity = ValidTransaction::with_tag_prefix("PhalaEnvelope")
				.priority(TransactionPriority::MAX / 2)
				.longevity(64)
				.and_provides(tag(envelope.seq))
				.propagate(true);
			if ahead > 0 {
				validity = validity.and_requires(tag(envelope.seq.saturating_sub(1)));
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
			NextEnvelope::<T>::insert(worker, InboundNext { boot, seq: 0 });
		}

		fn close_inbound(worker: WorkerId) {
			NextEnvelope::<T>::remove(worker);
		}
	}
}
