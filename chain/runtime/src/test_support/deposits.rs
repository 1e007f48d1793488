//! What the stock pallets have reserved of accounts, by what they store for it.

use crate::*;
use pallet_bounties::BountyStatus;
use pallet_child_bounties::ChildBountyStatus;
use pallet_referenda::ReferendumInfo;
use sp_core::Get;
use std::collections::BTreeMap;

/// Each account's deposits. Pure proxies are not known: what they cost is reserved of whoever made them.
pub(super) fn reserved() -> BTreeMap<AccountId, Balance> {
	let mut reserved = BTreeMap::new();
	let mut explain = |account: AccountId, amount: Balance| {
		*reserved.entry(account).or_insert(0) += amount;
	};
	for multisig in pallet_multisig::Multisigs::<Runtime>::iter_values() {
		explain(multisig.depositor, multisig.deposit);
	}
	for (account, (_, deposit)) in pallet_proxy::Proxies::<Runtime>::iter() {
		explain(account, deposit);
	}
	for (account, (_, deposit)) in pallet_proxy::Announcements::<Runtime>::iter() {
		explain(account, deposit);
	}
	for (account, identity) in pallet_identity::IdentityOf::<Runtime>::iter() {
		let asked = identity.judgements.iter().map(|(_, judgement)| match judgement {
			pallet_identity::Judgement::FeePaid(fee) => *fee,
			_ => 0,
		});
		explain(account, identity.deposit + asked.sum::<Balance>());
	}
	for (account, (deposit, _)) in pallet_identity::SubsOf::<Runtime>::iter() {
		explain(account, deposit);
	}
	for info in pallet_referenda::ReferendumInfoFor::<Runtime>::iter_values() {
		let (submission, decision) = match info {
			ReferendumInfo::Ongoing(status) => {
				(Some(status.submission_deposit), status.decision_deposit)
			}
			ReferendumInfo::Approved(_, submission, decision)
			| ReferendumInfo::Rejected(_, submission, decision)
			| ReferendumInfo::Cancelled(_, submission, decision)
			| ReferendumInfo::TimedOut(_, submission, decision) => (submission, decision),
			ReferendumInfo::Killed(_) => (None, None),
		};
		for deposit in submission.into_iter().chain(decision) {
			explain(deposit.who, deposit.amount);
		}
	}
	for (index, bounty) in pallet_bounties::Bounties::<Runtime>::iter() {
		match bounty.get_status() {
			BountyStatus::Proposed
			| BountyStatus::Approved
			| BountyStatus::ApprovedWithCurator { .. } => explain(bounty.proposer, bond_of(index)),
			BountyStatus::Active { curator, .. } | BountyStatus::PendingPayout { curator, .. } => {
				explain(curator, bounty.curator_deposit);
			}
			BountyStatus::Funded | BountyStatus::CuratorProposed { .. } => {}
		}
	}
	for bounty in pallet_child_bounties::ChildBounties::<Runtime>::iter_values() {
		match bounty.status {
			ChildBountyStatus::Active { curator }
			| ChildBountyStatus::PendingPayout { curator, .. } => {
				explain(curator, bounty.curator_deposit);
			}
			ChildBountyStatus::Added | ChildBountyStatus::CuratorProposed { .. } => {}
		}
	}
	reserved
}

/// What its proposer put down, until it is funded.
fn bond_of(bounty: pallet_bounties::BountyIndex) -> Balance {
	let described = pallet_bounties::BountyDescriptions::<Runtime>::get(bounty);
	let bytes = described.map_or(0, |text| text.len()) as Balance;
	let base: Balance = <Runtime as pallet_bounties::Config>::BountyDepositBase::get();
	let byte: Balance = <Runtime as pallet_bounties::Config>::DataDepositPerByte::get();
	base + bytes * byte
}
