//! Generations of a cluster's secret, requests for it, and the keys that it wraps.

use crate::*;
use phala_protocol::{
	clusters::WrappedKeys,
	keys::KeyRequest,
	messages::{ClustersMessage, ClustersPayload, EnvelopeOrigin},
	traits::ReceivePayload,
};

impl<T: Config> Pallet<T> {
	/// Starts a generation, or notes that one is due when the gap since the last has passed.
	pub(crate) fn start_generation_after_departure(cluster: ClusterId) -> Result<(), PushError> {
		let Some(mut record) = Clusters::<T>::get(cluster) else { return Ok(()) };
		match record.gap {
			GenerationGap::Open => Self::start_generation(cluster, record),
			GenerationGap::Running | GenerationGap::RunningWithDeparture => {
				record.gap = GenerationGap::RunningWithDeparture;
				Clusters::<T>::insert(cluster, record);
				Ok(())
			}
		}
	}

	/// Changes nothing if the mailbox is full.
	fn start_generation(cluster: ClusterId, mut record: ClusterOf<T>) -> Result<(), PushError> {
		let generation = record.generation.saturating_add(1);
		Self::tell_members(cluster, ClustersMessage::NewGeneration { generation })?;
		record.generation = generation;
		record.gap = GenerationGap::Running;
		Clusters::<T>::insert(cluster, record);
		let number = NextGap::<T>::get();
		let ends_at = Self::now().saturating_add(limits::GENERATION_GAP);
		Gaps::<T>::insert(number, (cluster, ends_at));
		NextGap::<T>::put(number.saturating_add(1));
		Self::deposit_event(Event::GenerationStarted { cluster, generation });
		Ok(())
	}

	/// Ends gaps whose time has come, as far as `meter` goes; a full mailbox puts them off by a block.
	pub fn end_gaps(meter: &mut WeightMeter) {
		let look = T::WeightInfo::end_gaps(0);
		let one = T::WeightInfo::end_gaps(1).saturating_sub(look);
		if meter.try_consume(look).is_err() {
			return;
		}
		let now = Self::now();
		let first = FirstGap::<T>::get();
		let mut number = first;
		while let Some((cluster, ends_at)) = Gaps::<T>::get(number) {
			if now < ends_at || meter.try_consume(one).is_err() {
				break;
			}
			if let Some(record) = Clusters::<T>::get(cluster) {
				if record.gap != GenerationGap::RunningWithDeparture {
					Clusters::<T>::insert(cluster, Cluster { gap: GenerationGap::Open, ..record });
				} else if Self::start_generation(cluster, record).is_err() {
					break;
				}
			}
			Gaps::<T>::remove(number);
			number = number.saturating_add(1);
		}
		if number != first {
			FirstGap::<T>::put(number);
		}
	}

	/// The sender is the current boot of a member.
	pub(crate) fn ensure_member(
		origin: EnvelopeOrigin,
		cluster: ClusterId,
	) -> Result<(), Error<T>> {
		ensure!(MemberOf::<T>::get(origin.worker) == Some(cluster), Error::<T>::NotMember);
		let boot = T::Workers::current_boot(origin.worker).ok_or(Error::<T>::RetiredBoot)?;
		ensure!(boot.number == origin.boot, Error::<T>::RetiredBoot);
		Ok(())
	}

	fn request_key(
		origin: EnvelopeOrigin,
		cluster: ClusterId,
		generation: Generation,
		ephemeral_key: [u8; 32],
	) -> DispatchResult {
		let record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		Self::ensure_member(origin, cluster)?;
		let is_newest_wrapped =
			|| NewestKeys::<T>::get(cluster).is_some_and(|keys| keys.generation == generation);
		ensure!(
			generation == record.generation || is_newest_wrapped(),
			Error::<T>::OtherGeneration
		);
		let EnvelopeOrigin { worker, boot } = origin;
		T::Keys::admit(KeyRequest { worker, boot, cluster, generation, ephemeral_key })?;
		Self::deposit_event(Event::KeyRequested { cluster, worker, generation });
		Ok(())
	}

	fn keys_wrapped(
		origin: EnvelopeOrigin,
		cluster: ClusterId,
		wrapped: WrappedKeys,
	) -> DispatchResult {
		let record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		Self::ensure_member(origin, cluster)?;
		let WrappedKeys { epoch, generation, keys } = wrapped;
		let keys = BoundedVec::try_from(keys).map_err(|_| Error::<T>::WrappedKeysTooLong)?;
		ensure!(generation == record.generation, Error::<T>::OtherGeneration);
		// An epoch from the future would shut out all until then. The secret of one that has passed is
		// given to nobody any more: such a set would take the place of one that members can open.
		let active = T::Keys::active_epoch().ok_or(Error::<T>::EpochNotActive)?;
		ensure!(epoch <= active, Error::<T>::EpochNotActive);
		ensure!(epoch == active, Error::<T>::EpochPassed);
		if let Some(newest) = NewestKeys::<T>::get(cluster) {
			ensure!(
				(epoch, generation) != (newest.epoch, newest.generation),
				Error::<T>::KeysAlreadyWrapped
			);
		}
		let stored = StoredKeys { epoch, generation, keys };
		NewestKeys::<T>::insert(cluster, &stored);
		Self::tell_members(cluster, ClustersMessage::KeysWrapped(stored.into()))
			.map_err(Error::<T>::from)?;
		let worker = origin.worker;
		Self::deposit_event(Event::KeysWrapped { cluster, worker, epoch, generation });
		Ok(())
	}
}

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = ClustersPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: ClustersPayload) -> Result<(), DispatchError> {
		match payload {
			ClustersPayload::KeyRequest { cluster, generation, ephemeral_key } => {
				Self::request_key(origin, cluster, generation, ephemeral_key)
			}
			ClustersPayload::KeysWrapped { cluster, keys } => {
				Self::keys_wrapped(origin, cluster, keys)
			}
			ClustersPayload::HolderSilent { holder, boot } => {
				Self::holder_silent(origin, holder, boot)
			}
			ClustersPayload::HolderStillSilent { holder, boot, challenged_at } => {
				Self::holder_still_silent(origin, holder, boot, challenged_at)
			}
			ClustersPayload::HolderPresent => Self::holder_present(origin),
			ClustersPayload::BlockFinal { block } => Self::block_final(origin, block),
		}
	}
}
