//! What the pallet keeps, and its arithmetic: no storage, no currency.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use phala_protocol::{bonding::UnbondingChunk, limits, Balance, BlockNumber};
use scale_info::TypeInfo;
use sp_runtime::{helpers_128bit::multiply_by_rational_with_rounding, Rounding};

/// Parts that leave, the first to leave first.
pub type Chunks = BoundedVec<UnbondingChunk, ConstU32<{ limits::UNBONDING_CHUNKS_MAX }>>;

/// A bond; SCALE of [`phala_protocol::bonding::Bond`].
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct BondRecord<AccountId> {
	/// In whose account the PHA is on hold.
	pub account: AccountId,
	/// What counts towards the minimum.
	pub active: Balance,
	/// What leaves.
	pub unbonding: Chunks,
	/// Whether it answers for nothing new.
	pub closed: bool,
}

impl<AccountId> BondRecord<AccountId> {
	/// Without anything in it.
	pub fn new(account: AccountId) -> Self {
		Self { account, active: 0, unbonding: Chunks::new(), closed: false }
	}

	/// All of it: what is on hold, and what can be slashed.
	pub fn total(&self) -> Balance {
		self.unbonding.iter().fold(self.active, |total, chunk| total.saturating_add(chunk.amount))
	}

	/// What can be withdrawn.
	pub fn left(&self, now: BlockNumber) -> Balance {
		self.unbonding
			.iter()
			.filter(|chunk| chunk.until <= now)
			.fold(0, |left, chunk| left.saturating_add(chunk.amount))
	}

	/// Lets `amount` of the active part leave at `until`, which is no earlier than all before it.
	/// `false`, and nothing done, without room for one more part.
	#[must_use]
	pub fn unbond(&mut self, amount: Balance, until: BlockNumber) -> bool {
		if let Some(newest) = self.unbonding.last_mut().filter(|newest| newest.until == until) {
			newest.amount = newest.amount.saturating_add(amount);
		} else if self.unbonding.try_push(UnbondingChunk { amount, until }).is_err() {
			return false;
		}
		self.active = self.active.saturating_sub(amount);
		true
	}

	/// The same, together with the newest part, which leaves later than it would have.
	pub fn unbond_with_newest(&mut self, amount: Balance, until: BlockNumber) {
		if let Some(newest) = self.unbonding.last_mut() {
			newest.amount = newest.amount.saturating_add(amount);
			newest.until = newest.until.max(until);
			self.active = self.active.saturating_sub(amount);
		}
	}

	/// Takes `amount` off the parts that left first.
	pub fn withdraw(&mut self, amount: Balance) {
		let mut missing = amount;
		for chunk in self.unbonding.iter_mut() {
			let taken = chunk.amount.min(missing);
			chunk.amount = chunk.amount.saturating_sub(taken);
			missing = missing.saturating_sub(taken);
		}
		self.unbonding.retain(|chunk| chunk.amount > 0);
	}

	/// Takes `amount`, or all if that is less, in proportion of every part. Returns what it took:
	/// exactly that, so that no slash is rounded away.
	pub fn slash(&mut self, amount: Balance) -> Balance {
		let total = self.total();
		let amount = amount.min(total);
		if amount == 0 {
			return 0;
		}
		let share = |part: Balance| {
			multiply_by_rational_with_rounding(part, amount, total, Rounding::Down)
				.unwrap_or(part)
				.min(part)
		};
		let mut missing = amount;
		for part in self.parts_mut() {
			let taken = share(*part).min(missing);
			*part = part.saturating_sub(taken);
			missing = missing.saturating_sub(taken);
		}
		// What rounding left over: less than one unit for each part.
		for part in self.parts_mut() {
			let taken = missing.min(*part);
			*part = part.saturating_sub(taken);
			missing = missing.saturating_sub(taken);
		}
		self.unbonding.retain(|chunk| chunk.amount > 0);
		amount
	}

	fn parts_mut(&mut self) -> impl Iterator<Item = &mut Balance> {
		let leaving = self.unbonding.iter_mut().map(|chunk| &mut chunk.amount);
		core::iter::once(&mut self.active).chain(leaving)
	}
}
