//! Who may decide, and what is looked at before somebody is let in.

use crate::*;

impl<T: Config> Pallet<T> {
	pub(crate) fn ensure_operator(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
		let who: AccountBytes = frame_system::ensure_signed(origin)?.into();
		Ok(T::Workers::ensure_operator(worker, &who).map_err(Error::<T>::from)?)
	}

	pub(crate) fn ensure_owner(
		origin: OriginFor<T>,
		cluster: ClusterId,
	) -> Result<ClusterOf<T>, DispatchError> {
		let who = frame_system::ensure_signed(origin)?;
		let record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		ensure!(record.owner == who, Error::<T>::NotOwner);
		Ok(record)
	}

	/// The boot that asked to join, and its endpoint, if both are what the owner has looked at.
	pub(crate) fn approved(
		origin: OriginFor<T>,
		cluster: ClusterId,
		worker: WorkerId,
		looked_at: (BootNumber, Measurement),
		endpoint: &[u8],
	) -> Result<(Boot, Endpoint), DispatchError> {
		Self::ensure_owner(origin, cluster)?;
		let request = JoinRequests::<T>::get(worker)
			.filter(|request| request.cluster == cluster)
			.ok_or(Error::<T>::NoJoinRequest)?;
		let current = Self::boot_in_force(worker)?;
		let is_that = (current.number, current.measurement) == looked_at;
		ensure!(is_that && *request.endpoint == *endpoint, Error::<T>::OtherApplicant);
		Ok((current, request.endpoint))
	}

	pub(crate) fn boot_in_force(worker: WorkerId) -> Result<Boot, Error<T>> {
		T::Workers::boot_in_force(worker).ok_or(Error::<T>::NotInForce)
	}

	/// A URL is printable ASCII: whoever reads it in a log or a page sees what it says.
	pub(crate) fn endpoint(bytes: Vec<u8>) -> Result<Endpoint, Error<T>> {
		let endpoint = Endpoint::try_from(bytes).map_err(|_| Error::<T>::EndpointTooLong)?;
		let host = endpoint
			.strip_prefix(b"https://")
			.or_else(|| endpoint.strip_prefix(b"http://"))
			.ok_or(Error::<T>::EndpointNotUrl)?;
		ensure!(
			!host.is_empty() && host.iter().all(u8::is_ascii_graphic),
			Error::<T>::EndpointNotUrl
		);
		Ok(endpoint)
	}
}
