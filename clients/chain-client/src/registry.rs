//! Workers and their boots.

use crate::{transactions, Call, Chain, ChainClientError, Included, Sender};
use codec::Encode;
use phala_protocol::{
	boot::WorkerId, evidence::Measurement, relay::Registration, AccountBytes, BlockNumber,
};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Registry";

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct WorkerRegistered {
	worker: WorkerId,
}

/// Creates a worker for `operator`, whose account holds its stake; its number.
pub async fn register_worker(operator: &Sender) -> Result<WorkerId, ChainClientError> {
	registered_worker(&operator.send(register_worker_call()).await?)
}

/// Creates a worker for whoever sends it.
pub fn register_worker_call() -> Call {
	call("registry.register_worker", "register_worker", vec![])
}

/// The number of the worker that a [`register_worker_call`] created.
pub fn registered_worker(included: &Included) -> Result<WorkerId, ChainClientError> {
	Ok(included.event::<WorkerRegistered>(PALLET, "WorkerRegistered")?.worker)
}

/// Registers or renews a boot, paid by the worker's operator.
pub fn register_boot(registration: &Registration) -> Call {
	let Registration { worker, keys, evidence, recent_block, renewal } = registration;
	if *renewal {
		let arguments = (worker, evidence, recent_block).encode();
		call("registry.renew_boot", "renew_boot", arguments)
	} else {
		let arguments = (worker, keys, evidence, recent_block).encode();
		call("registry.register_boot", "register_boot", arguments)
	}
}

/// Whether the node's pool holds a registration of these very keys.
pub async fn is_registration_pending(
	chain: &Chain,
	registration: &Registration,
) -> Result<bool, ChainClientError> {
	let Registration { worker, keys, .. } = registration;
	let start = call("registry.register_boot", "register_boot", (worker, keys).encode());
	transactions::is_pending(chain, &start.bytes(chain).await?).await
}

/// Asks a worker's enclave for a sign of life.
pub fn probe(worker: WorkerId, nonce: [u8; 32]) -> Call {
	call("registry.probe", "probe", (worker, nonce).encode())
}

/// Allows a measurement, as root by way of a development chain's sudo account; the block.
pub async fn allow_measurement(
	sudo: &Sender,
	measurement: Measurement,
) -> Result<BlockNumber, ChainClientError> {
	let call = call("registry.allow_measurement", "allow_measurement", measurement.encode());
	let included: Included = sudo.send_as_root(call).await?;
	Ok(included.block.number)
}

/// Gives up a worker; its stake leaves by unbonding.
pub fn close_worker(worker: WorkerId) -> Call {
	call("registry.close_worker", "close_worker", worker.encode())
}

/// Offers a worker, with its stake, to another account; `None` takes that back.
pub fn offer_worker(worker: WorkerId, to: Option<AccountBytes>) -> Call {
	call("registry.offer_worker", "offer_worker", (worker, to).encode())
}

/// Takes over a worker that was offered to the sender.
pub fn accept_worker(worker: WorkerId) -> Call {
	call("registry.accept_worker", "accept_worker", worker.encode())
}

/// Throws a worker's boot out, as root by way of a development chain's sudo account, at no cost to
/// its stake; the block.
pub async fn evict(sudo: &Sender, worker: WorkerId) -> Result<BlockNumber, ChainClientError> {
	/// `EvictionReason::Fault`, which slashes so many millionths.
	const FAULT: u8 = 2;
	let slash: u32 = 0;
	let arguments = (worker, FAULT, slash).encode();
	let included = sudo.send_as_root(call("registry.evict_for", "evict_for", arguments)).await?;
	Ok(included.block.number)
}

fn call(name: &'static str, call: &'static str, arguments: Vec<u8>) -> Call {
	Call { name, pallet: PALLET, call, arguments }
}
