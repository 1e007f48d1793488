//! Which pallets `make weights` measures: our own. Stock pallets bring their own weights.

use crate::{AccountId, Runtime};
use phala_primitives::{
	boot::{Boot, BootKeys, SlotId},
	evidence::EvidenceKind,
	BlockNumber, H256,
};

frame_benchmarking::define_benchmarks!(
	[pallet_mailbox, crate::Mailbox]
	[pallet_registry, crate::Registry]
	[pallet_gatekeepers, crate::Gatekeepers]
	[pallet_clusters, crate::Clusters]
);

pub use {add_benchmarks, list_benchmarks};

/// Slots with a boot in force, straight into the registry's storage: no evidence, no stake.
pub struct BootedSlots;

impl BootedSlots {
	fn boot(slot: SlotId, operator: AccountId) {
		let measurement = H256::repeat_byte(7);
		let registered_at = crate::System::block_number();
		pallet_registry::Measurements::<Runtime>::insert(
			measurement,
			pallet_registry::MeasurementRule { until: None },
		);
		pallet_registry::Slots::<Runtime>::insert(
			slot,
			pallet_registry::Slot { operator, stake: 0, platform: None, boots: 1 },
		);
		let identity = H256::from_low_u64_be(slot.into()).0;
		pallet_registry::Boots::<Runtime>::insert(
			slot,
			Boot {
				number: 1,
				keys: BootKeys { identity, encryption: [2; 32] },
				evidence: EvidenceKind::Software,
				measurement,
				registered_at,
				expires_at: BlockNumber::MAX,
			},
		);
	}
}

impl pallet_gatekeepers::benchmarking::BenchmarkHelper<AccountId> for BootedSlots {
	fn boot_slot(slot: SlotId, operator: AccountId) {
		Self::boot(slot, operator);
	}
}

impl pallet_clusters::benchmarking::BenchmarkHelper<AccountId> for BootedSlots {
	fn boot_slot(slot: SlotId, operator: AccountId) {
		Self::boot(slot, operator);
	}
}
