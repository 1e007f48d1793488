//! How a fee is divided. The one place to change a split: `settle` pays these parts, and its own care
//! is only who cannot be paid.

use phala_protocol::Balance;
use sp_runtime::Permill;

/// What the network's runtime, and the mock, promise the worker's operator of a fee.
pub const WORKER_SHARE: Permill = Permill::from_percent(60);

/// The same for the agent's owner.
pub const DEVELOPER_SHARE: Permill = Permill::from_percent(30);

const _: () = assert!(
	WORKER_SHARE.deconstruct() + DEVELOPER_SHARE.deconstruct() <= Permill::one().deconstruct(),
	"the shares of worker and developer are more than a whole"
);

/// The shares of a fee that are promised; the rest is the treasury's.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
	pub worker: Permill,
	pub developer: Permill,
}

/// A fee, divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
	pub worker: Balance,
	pub developer: Balance,
	pub treasury: Balance,
}

/// Divides `fee`, rounding shares down. Shares of more than the whole are cut at the developer's.
/// The parts sum to `fee`.
pub fn split(fee: Balance, shares: Shares) -> Split {
	let worker = shares.worker.mul_floor(fee);
	let left = fee.saturating_sub(worker);
	let developer = shares.developer.mul_floor(fee).min(left);
	Split { worker, developer, treasury: left.saturating_sub(developer) }
}

#[cfg(test)]
mod tests {
	use super::*;

	fn shares(worker: u32, developer: u32) -> Shares {
		Shares {
			worker: Permill::from_percent(worker),
			developer: Permill::from_percent(developer),
		}
	}

	#[test]
	fn what_rounding_leaves_is_the_treasury_s() {
		let split = split(99, shares(60, 30));
		assert_eq!(split, Split { worker: 59, developer: 29, treasury: 11 });
	}

	#[test]
	fn greedy_shares_take_no_more_than_the_fee() {
		let split = split(10, shares(80, 80));
		assert_eq!(split, Split { worker: 8, developer: 2, treasury: 0 });
	}

	#[test]
	fn the_parts_sum_to_the_fee_at_the_edges() {
		for fee in [0, 1, 2, 3, 7, u128::MAX] {
			for shares in [shares(0, 0), shares(100, 0), shares(60, 30), shares(100, 100)] {
				let Split { worker, developer, treasury } = split(fee, shares);
				assert_eq!(worker + developer + treasury, fee);
			}
		}
	}
}
