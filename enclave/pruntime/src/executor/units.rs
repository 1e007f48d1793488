//! Work, in the units that agents are priced in.

use phala_protocol::limits::{UNIT_BYTES, UNIT_CPU_MS};
use phala_sandbox::Usage;

/// Processor time of one unit, in microseconds.
const UNIT_CPU_US: u64 = UNIT_CPU_MS * 1_000;

/// One unit for the run itself, one for each started [`UNIT_CPU_US`] past the first, one for each
/// outbound call, one for each full [`UNIT_BYTES`]. Coarse on purpose: units are public, and
/// finer ones would tell what a run did.
pub fn units(usage: &Usage) -> u32 {
	let bytes = usage
		.fetched_bytes
		.saturating_add(usage.request_bytes)
		.saturating_add(usage.response_bytes)
		.saturating_add(usage.state_write_bytes);
	let units = 1 + usage.cpu_us / UNIT_CPU_US + usage.outbound_calls + bytes / UNIT_BYTES;
	u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_unit_more_at_each_step_and_not_before() {
		let of = |cpu_us, outbound_calls, fetched_bytes| {
			units(&Usage { cpu_us, outbound_calls, fetched_bytes, ..Usage::default() })
		};
		assert_eq!(of(0, 0, 0), 1);
		assert_eq!(of(UNIT_CPU_US - 1, 0, UNIT_BYTES - 1), 1);
		assert_eq!(of(UNIT_CPU_US, 0, 0), 2);
		assert_eq!(of(0, 3, UNIT_BYTES), 5);
		assert_eq!(of(u64::MAX, 0, 0), u32::MAX);
	}
}
