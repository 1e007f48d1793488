//! Gatekeepers: who makes and keeps the master key.

use crate::Call;
use codec::Encode;
use phala_protocol::boot::WorkerId;

const PALLET: &str = "Gatekeepers";

/// A worker's operator offers it as a gatekeeper.
pub fn apply(worker: WorkerId) -> Call {
	let arguments = worker.encode();
	Call { name: "gatekeepers.apply", pallet: PALLET, call: "apply", arguments }
}

/// A worker's operator takes it back; its bond leaves by unbonding.
pub fn withdraw(worker: WorkerId) -> Call {
	let arguments = worker.encode();
	Call { name: "gatekeepers.withdraw", pallet: PALLET, call: "withdraw", arguments }
}

/// Root seats candidates.
pub fn seat(workers: &[WorkerId]) -> Call {
	let arguments = workers.encode();
	Call { name: "gatekeepers.seat", pallet: PALLET, call: "seat", arguments }
}
