//! A request is taken: what it may be, what it takes of a block, its money and its place.

use super::*;
use phala_protocol::agents::AgentRecord;

/// What a request is, before it is taken.
pub(crate) struct Asked {
	pub agent: AgentId,
	pub kind: RequestKind,
	pub input: RequestInput,
	pub max_fee: Balance,
	pub deadline: BlockNumber,
	pub min_block: BlockNumber,
}

/// Bytes of a request's message beside its input, at most.
pub const ORDER_BYTES: u32 = 160;

impl<T: Config> Pallet<T> {
	/// What `submit` takes with so many bytes of input, if its agent is to be given to another worker.
	pub fn weight_of_submit(bytes: u32) -> Weight {
		T::WeightInfo::submit(bytes).max(Self::news(bytes))
	}

	/// The same if whoever has the lease can answer.
	pub fn weight_to_holder(bytes: u32) -> Weight {
		T::WeightInfo::submit_to_holder(bytes).max(Self::news(bytes))
	}

	/// What others lose by the room of its message.
	fn news(bytes: u32) -> Weight {
		T::NewsByte::get().saturating_mul(bytes.saturating_add(ORDER_BYTES).into())
	}

	/// Whether it may be asked at all; the agent.
	pub(crate) fn check(
		caller: &T::AccountId,
		asked: &Asked,
	) -> Result<AgentRecord, DispatchError> {
		let Asked { agent, kind, input, deadline, min_block, .. } = asked;
		let (deadline, min_block) = (*deadline, *min_block);
		let caller_bytes: AccountBytes = caller.clone().into();
		let now = Self::now();
		let record = T::Agents::record(*agent).ok_or(Error::<T>::UnknownAgent)?;
		ensure!(record.key.is_some(), Error::<T>::AgentNotBorn);
		match kind {
			RequestKind::Call => {
				let allowed = T::Agents::may_call(*agent, &caller_bytes);
				ensure!(allowed, Error::<T>::CallerNotAllowed);
			}
			RequestKind::Secrets => {
				ensure!(record.owner == caller_bytes, Error::<T>::NotOwner);
				let sealed = matches!(input, RequestInput::Sealed(_));
				ensure!(sealed, Error::<T>::SecretsMustBeSealed);
			}
		}
		ensure!(
			input.bytes().len() as u64 <= u64::from(limits::REQUEST_INPUT_BYTES_MAX),
			Error::<T>::InputTooLong
		);
		let blocks_needed = record.timeout.saturating_add(limits::FINALITY_MARGIN);
		ensure!(deadline > now, Error::<T>::DeadlineInThePast);
		ensure!(deadline >= now.saturating_add(blocks_needed), Error::<T>::DeadlineTooNear);
		ensure!(
			deadline <= now.saturating_add(limits::DEADLINE_BLOCKS_MAX),
			Error::<T>::DeadlineTooFar
		);
		// Else requests could be parked until a worker happens to restart.
		ensure!(min_block <= now, Error::<T>::MinBlockTooLate);
		Ok(record)
	}

	/// Takes its money and a place, and tells the worker.
	pub(crate) fn place(
		caller: T::AccountId,
		asked: Asked,
		record: AgentRecord,
		assigned: Assignment,
	) -> DispatchResult {
		let Asked { agent, kind, input, max_fee, deadline, min_block } = asked;
		let caller_bytes: AccountBytes = caller.clone().into();
		let Lease { worker, boot } = assigned.lease;
		let base_fee = Self::find_room(&caller, agent, worker, deadline)?;
		let held = max_fee
			.checked_sub(base_fee)
			.filter(|held| *held >= record.unit_price)
			.ok_or(Error::<T>::FeeTooSmall)?;
		let number = NextRequest::<T>::get();
		let genesis = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
		let request = request_id(genesis, number);
		Due::<T>::try_append(deadline, request).map_err(|()| Error::<T>::TooManyDue)?;
		NextRequest::<T>::put(number.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?);

		T::Currency::transfer(&caller, &T::Treasury::get(), base_fee, Preservation::Preserve)?;
		T::Currency::transfer(&caller, &Self::escrow(), held, Preservation::Preserve)?;
		// Nothing to divide by: as many as there are.
		let units_max = held.checked_div(record.unit_price).unwrap_or(Balance::MAX);
		let units_max: u32 = units_max.saturated_into();
		Duties::<T>::insert(request, assigned);
		Requests::<T>::insert(
			request,
			Request {
				agent,
				caller: caller.clone(),
				kind,
				held,
				unit_price: record.unit_price,
				units_max,
				deadline,
				worker,
				boot,
				state: RequestState::Open,
			},
		);
		OpenRequests::<T>::insert(agent, request, ());
		OpenOfAgent::<T>::mutate(agent, |open| *open = open.saturating_add(1));
		OpenOfWorker::<T>::mutate(worker, |open| *open = open.saturating_add(1));
		OpenOfCaller::<T>::mutate(&caller, |open| *open = open.saturating_add(1));
		DutiesOfWorker::<T>::mutate(worker, |duties| *duties = duties.saturating_add(1));
		let order = RequestOrder {
			request,
			agent,
			caller: caller_bytes.into(),
			kind,
			input,
			units_max,
			min_block,
			deadline,
			worker,
			boot,
		};
		T::Mailbox::push(Channel::Cluster(record.cluster), &RequestsMessage::Request(order).into())
			.map_err(Error::<T>::from)?;
		Self::deposit_event(Event::RequestSubmitted {
			request,
			agent,
			caller,
			deadline,
			worker,
			boot,
			base_fee,
		});
		Ok(())
	}
}
