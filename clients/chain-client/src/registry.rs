//! Workers and their boots.

use crate::{transactions, Call, Chain, ChainClientError, HeaderId, Included, Sender};
use codec::{DecodeAll, Encode};
use phala_protocol::{
	bonding::{Bond, BondId},
	boot::{WorkerId, WorkerRecord},
	evidence::{Evidence, Measurement, MeasurementRule, PlatformId},
	relay::Registration,
	storage_keys, AccountBytes, BlockNumber,
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

/// The workers of which an account is the operator.
pub async fn workers_of(
	chain: &Chain,
	at: HeaderId,
	operator: AccountBytes,
) -> Result<Vec<WorkerId>, ChainClientError> {
	let mut workers = Vec::new();
	let keys = chain.keys(at, &storage_keys::registry_workers()).await?;
	for (key, record) in keys.iter().zip(chain.values(at, &keys).await?) {
		// The key ends with the worker in the clear.
		let Some((_, worker)) = key.split_last_chunk::<4>() else { continue };
		let Some(record) = record else { continue };
		let record: WorkerRecord = crate::chain::decode("Registry.Workers", &record)?;
		if record.operator == operator {
			workers.push(WorkerId::from_le_bytes(*worker));
		}
	}
	workers.sort_unstable();
	Ok(workers)
}

/// What the chain knows of a worker in the state after a block; `None` when there is none.
pub async fn worker(
	chain: &Chain,
	at: HeaderId,
	worker: WorkerId,
) -> Result<Option<WorkerRecord>, ChainClientError> {
	chain.read(at, storage_keys::registry_worker(worker)).await
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

/// Why the chain refuses a registration, each as the runtime names it, where the same one made anew is
/// refused alike, until somebody changes what the chain knows. An enclave that was mended without such a
/// change, of the same measurement, is registered by a pherry that is started anew. A
/// registration that has no effect is paid for all the same.
///
/// What passes by itself is not here: `AlreadyRegistered`, `EvidenceBlockTooOld`, `MailboxFull`, and
/// `NoBoot`, of which the enclave hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationRefusal {
	UnknownWorker,
	NotOperator,
	OtherPlatform,
	PlatformInOtherWorker,
	PlatformBanned,
	EvidenceKindNotAccepted,
	EvidenceBadSignature,
	EvidenceNotBound,
	EvidenceDebuggable,
	EvidenceTooLong,
	EvidenceMalformed,
	MeasurementNotAllowed,
	StakeTooLow,
	NumbersExhausted,
}

impl RegistrationRefusal {
	pub const ALL: [Self; 14] = [
		Self::UnknownWorker,
		Self::NotOperator,
		Self::OtherPlatform,
		Self::PlatformInOtherWorker,
		Self::PlatformBanned,
		Self::EvidenceKindNotAccepted,
		Self::EvidenceBadSignature,
		Self::EvidenceNotBound,
		Self::EvidenceDebuggable,
		Self::EvidenceTooLong,
		Self::EvidenceMalformed,
		Self::MeasurementNotAllowed,
		Self::StakeTooLow,
		Self::NumbersExhausted,
	];

	/// The refusal in what became of a registration, if it is one that stays.
	pub fn of(error: &ChainClientError) -> Option<Self> {
		let ChainClientError::Dispatch { .. } = error else { return None };
		Self::ALL.into_iter().find(|refusal| refusal.name() == error.name())
	}

	/// The runtime's name of it.
	pub fn name(self) -> String {
		format!("{self:?}")
	}

	/// What to do about it.
	pub fn remedy(self) -> String {
		transactions::remedy(&self.name()).unwrap_or_default()
	}
}

/// What the chain knows that decides about a registration. Where it refused one, it refuses the next
/// alike as long as this is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationGrounds {
	pub worker: Option<WorkerRecord>,
	/// What the worker has at stake.
	pub bond: Option<Bond>,
	/// Who may vouch for software; nobody where such evidence is refused.
	pub software_root: Option<[u8; 32]>,
	/// `None` of evidence that cannot be read.
	pub machine: Option<MachineGrounds>,
}

/// The part of [`RegistrationGrounds`] about what the evidence names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineGrounds {
	pub platform: PlatformId,
	/// In which worker the machine is.
	pub worker: Option<WorkerId>,
	pub is_banned: bool,
	pub measurement: Measurement,
	pub rule: Option<MeasurementRule>,
}

impl RegistrationGrounds {
	/// Reads them in the state after a block.
	pub async fn read(
		chain: &Chain,
		at: HeaderId,
		registration: &Registration,
	) -> Result<Self, ChainClientError> {
		let worker = registration.worker;
		let machine = match Evidence::decode_all(&mut &registration.evidence[..]) {
			Ok(Evidence::Software(evidence)) => {
				let (platform, measurement) =
					(evidence.report.platform, evidence.report.measurement);
				let banned = storage_keys::registry_banned_platform(platform);
				let rule = storage_keys::registry_measurement(measurement);
				Some(MachineGrounds {
					platform,
					worker: chain
						.read(at, storage_keys::registry_platform_worker(platform))
						.await?,
					is_banned: chain.read::<()>(at, banned).await?.is_some(),
					measurement,
					rule: chain.read(at, rule).await?,
				})
			}
			Err(_) => None,
		};
		Ok(Self {
			worker: chain.read(at, storage_keys::registry_worker(worker)).await?,
			bond: chain.read(at, storage_keys::bonding_bond(BondId::Worker(worker))).await?,
			software_root: chain.read(at, storage_keys::registry_software_root()).await?,
			machine,
		})
	}

	/// Why a registration for `worker` in block `block` would be refused that `operator` pays for. What
	/// cannot be seen here, the chain says.
	pub fn refusal(
		&self,
		worker: WorkerId,
		operator: AccountBytes,
		block: BlockNumber,
	) -> Option<RegistrationRefusal> {
		use RegistrationRefusal::*;
		let Some(record) = &self.worker else { return Some(UnknownWorker) };
		if record.operator != operator {
			return Some(NotOperator);
		}
		let machine = self.machine.as_ref()?;
		if self.software_root.is_none() {
			return Some(EvidenceKindNotAccepted);
		}
		if !machine.rule.is_some_and(|rule| rule.allows(block)) {
			return Some(MeasurementNotAllowed);
		}
		if machine.is_banned {
			return Some(PlatformBanned);
		}
		if machine.worker.is_some_and(|other| other != worker) {
			return Some(PlatformInOtherWorker);
		}
		record.platform.is_some_and(|bound| bound != machine.platform).then_some(OtherPlatform)
	}
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

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::H256;
	use scale_info::{Type, TypeDef, TypeInfo};
	use RegistrationRefusal::*;

	const OPERATOR: AccountBytes = [1; 32];
	const WORKER: WorkerId = 3;
	const BLOCK: BlockNumber = 100;

	/// Of a worker that its machine may be registered for.
	fn grounds() -> RegistrationGrounds {
		let platform = H256([4; 32]);
		RegistrationGrounds {
			worker: Some(WorkerRecord { operator: OPERATOR, platform: Some(platform), boots: 2 }),
			bond: None,
			software_root: Some([5; 32]),
			machine: Some(MachineGrounds {
				platform,
				worker: Some(WORKER),
				is_banned: false,
				measurement: H256([6; 32]),
				rule: Some(MeasurementRule { until: None }),
			}),
		}
	}

	fn refusal_when(change: impl FnOnce(&mut RegistrationGrounds)) -> Option<RegistrationRefusal> {
		let mut grounds = grounds();
		change(&mut grounds);
		grounds.refusal(WORKER, OPERATOR, BLOCK)
	}

	fn refusal_of_machine(change: impl FnOnce(&mut MachineGrounds)) -> Option<RegistrationRefusal> {
		refusal_when(|grounds| change(grounds.machine.as_mut().unwrap()))
	}

	#[test]
	fn what_the_chain_would_refuse_is_foreseen_by_name_and_nothing_else() {
		assert_eq!(refusal_when(|_| {}), None);
		let first = |grounds: &mut RegistrationGrounds| {
			grounds.worker.as_mut().unwrap().platform = None;
			grounds.machine.as_mut().unwrap().worker = None;
		};
		assert_eq!(refusal_when(first), None, "the first boot of a worker and a machine");
		assert_eq!(refusal_when(|grounds| grounds.worker = None), Some(UnknownWorker));
		assert_eq!(grounds().refusal(WORKER, [9; 32], BLOCK), Some(NotOperator));
		let other = |grounds: &mut RegistrationGrounds| {
			grounds.worker.as_mut().unwrap().platform = Some(H256([9; 32]));
		};
		assert_eq!(refusal_when(other), Some(OtherPlatform));
		assert_eq!(
			refusal_of_machine(|machine| machine.worker = Some(WORKER + 1)),
			Some(PlatformInOtherWorker)
		);
		assert_eq!(refusal_of_machine(|machine| machine.is_banned = true), Some(PlatformBanned));
		assert_eq!(refusal_of_machine(|machine| machine.rule = None), Some(MeasurementNotAllowed));
		let until = |until| {
			refusal_of_machine(|machine| {
				machine.rule = Some(MeasurementRule { until: Some(until) })
			})
		};
		assert_eq!(until(BLOCK), Some(MeasurementNotAllowed));
		assert_eq!(until(BLOCK + 1), None);
		let root = refusal_when(|grounds| grounds.software_root = None);
		assert_eq!(root, Some(EvidenceKindNotAccepted));
		// Evidence of a later release, or broken: the chain decides.
		assert_eq!(refusal_when(|grounds| grounds.machine = None), None);
	}

	#[test]
	fn a_refusal_that_stays_is_read_of_the_chains_and_says_what_to_do() {
		let refused = |error: &str| {
			let error = format!("Registry::{error}");
			RegistrationRefusal::of(&ChainClientError::Dispatch {
				call: "registry.register_boot",
				error,
			})
		};
		for refusal in RegistrationRefusal::ALL {
			assert_eq!(refused(&refusal.name()), Some(refusal));
			assert!(!refusal.remedy().is_empty(), "{refusal:?}");
		}
		for passing in ["AlreadyRegistered", "EvidenceBlockTooOld", "MailboxFull", "NoBoot"] {
			assert_eq!(refused(passing), None, "{passing}");
		}
		let unanswered = ChainClientError::NotIncluded { call: "x", reason: "NotOperator".into() };
		assert_eq!(RegistrationRefusal::of(&unanswered), None);
	}
	#[test]
	fn each_refusal_is_an_error_of_the_runtime() {
		let names_of = |info: Type| {
			let TypeDef::Variant(errors) = info.type_def else { panic!("errors are an enum") };
			errors.variants
		};
		let of_pallets = names_of(phala_runtime::RuntimeError::type_info());
		let errors = of_pallets.into_iter().flat_map(|pallet| pallet.fields);
		let names: Vec<_> = errors
			.flat_map(|error| names_of(error.ty.type_info()))
			.map(|error| error.name)
			.collect();
		for refusal in RegistrationRefusal::ALL {
			assert!(names.contains(&refusal.name().as_str()), "{refusal:?}");
		}
	}
}
